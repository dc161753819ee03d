"""What both backends agree on: configuration, presets, receptive field; and a folder for each
layout.

A layout is a configuration that names its hop, its receptive field (`encoder_context`,
`decoder_context`) and what its decoder takes (`noise_values`, `conceals`), two modules of PyTorch
and two functions that build the same as ONNX nodes. A new one is a folder like the others, a field
of `ModelConfig`, and a line each in `codec_model.NETWORKS` and `model_graphs.NODES`. The
configuration knows no torch.
"""
