"""Encoder, decoder and the model around the quantizer."""

from .filterbank import FilterbankEncoder
from .model import CodecModel, ModelOutput
from .transform import TransformEncoder

__all__ = ["CodecModel", "FilterbankEncoder", "ModelOutput", "TransformEncoder"]
