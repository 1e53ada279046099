"""A model as an ONNX file: its graph, its metadata, its check, its runs."""
