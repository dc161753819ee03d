"""Encoder, decoder and the model around the quantizer."""

from .model import CodecModel, ModelOutput

__all__ = ["CodecModel", "ModelOutput"]
