"""A checkpoint in, a self-describing ONNX file out."""
