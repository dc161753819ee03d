"""The filterbank layout: strided convolutions, as in DAC. One file each for configuration, torch,
ONNX.
"""
