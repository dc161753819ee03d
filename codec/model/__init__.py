"""Encoder, decoder and the model around the quantizer."""

from ..layouts.filterbank.filterbank_network import FilterbankEncoder
from ..layouts.transform.transform_network import TransformEncoder
from .codec_model import CodecModel, ModelOutput

__all__ = ["CodecModel", "FilterbankEncoder", "ModelOutput", "TransformEncoder"]
