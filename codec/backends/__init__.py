"""Backends that compute a model: PyTorch or onnxruntime, imported when a model is loaded. Both read
the same model files.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

from ..checkpoint import Checkpoint
from ..errors import CheckpointError, ConfigError
from ..streams.runner import Network

__all__ = ["Backend", "load_backend"]


class Backend(Network, Protocol):
    """A network on a device, named as torch names it."""

    @property
    def device(self) -> str: ...


def load_backend(checkpoint: Checkpoint, name: str, *, device: str) -> Backend:
    """Load a checkpoint's model into a backend.

    Args:
        checkpoint: configuration and weights.
        name: "torch", "onnx", or "auto": PyTorch where it is installed, since it alone knows of
            GPUs.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …

    Raises:
        CheckpointError: The weights do not fit the configuration.
        ConfigError: The backend is not installed, or the device is not there.
    """
    _check_size(checkpoint)
    if name == "auto":
        name = "torch" if find_spec("torch") else "onnx"
    if name == "torch":
        _require("torch", "pip install 'diveq-codec[torch]', or backend='onnx'")
        from .torch_backend import TorchBackend

        return TorchBackend(checkpoint, device)
    if name == "onnx":
        _require("onnxruntime", "pip install onnxruntime, or backend='torch'")
        from .onnx.onnx_backend import OnnxBackend

        return OnnxBackend(checkpoint, device)
    raise ConfigError(f"backend is auto, torch or onnx, not {name!r}")


def _check_size(checkpoint: Checkpoint) -> None:
    """Refuse a configuration that needs more weights than the file has, before allocating any."""
    found = sum(tensor.size for tensor in checkpoint.weights.values())
    if checkpoint.config.least_weights > found:
        raise CheckpointError(
            f"the model's configuration needs more than {checkpoint.config.least_weights} weights,"
            f" but there are {found}: the file is damaged"
        )


def _require(module: str, remedy: str) -> None:
    if find_spec(module) is None:
        raise ConfigError(f"this backend needs {module}, which is not installed: {remedy}")
