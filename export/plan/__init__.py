"""TensorRT: from an .onnx to a .plan.

One more release of the library: what is different in it goes to `library.py`, what a user may ask for to `options.py`.
"""
