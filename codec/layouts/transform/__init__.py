"""The transform layout: MDCT frames, blocks at the frame rate. One file each for configuration,
torch, ONNX.
"""
