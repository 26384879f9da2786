"""What `to_onnx` is made of."""
