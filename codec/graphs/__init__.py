"""A model as ONNX graphs, built from its configuration and weights without PyTorch or the `onnx` package."""

from __future__ import annotations

from .model import ModelGraphs, model_graphs

__all__ = ["ModelGraphs", "model_graphs"]
