"""Encoder, decoder and the model around the quantizer."""

from .model import CodecModel, Decoder, Encoder, ModelOutput

__all__ = ["CodecModel", "Decoder", "Encoder", "ModelOutput"]
