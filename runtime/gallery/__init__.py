"""Which style in which quality: the bundled styles, their variants, and the choice by measuring.

One more style: its `.onnx` and its picture `.jpg` in `runtime/styles/`; a variant lies beside it: `starry-lite.onnx`.
"""
