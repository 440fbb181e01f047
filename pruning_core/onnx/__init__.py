"""ONNX: the model as a graph that needs neither torch nor transformers nor us; needs the extra `onnx`."""
