"""Encoder, decoder and the model around the quantizer."""

from .codec_model import CodecModel, ModelOutput
from .filterbank import FilterbankEncoder
from .transform import TransformEncoder

__all__ = ["CodecModel", "FilterbankEncoder", "ModelOutput", "TransformEncoder"]
