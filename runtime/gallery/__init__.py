"""Which style in which quality: the bundled styles, their variants, the choice by measuring; mixes and crossfades.

One more style of the network for many paintings: its NAME.style in `runtime/paintings/`. One more with a network of its
own: its `.onnx` and its picture `.jpg` in `runtime/styles/`; a variant lies beside it: `starry-lite.onnx`.
"""
