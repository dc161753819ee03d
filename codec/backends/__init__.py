"""What computes a model: PyTorch, imported when a model is loaded."""

from __future__ import annotations

from typing import Protocol

from ..checkpoint import Checkpoint
from ..runner import Network

__all__ = ["Backend", "load_backend"]


class Backend(Network, Protocol):
    """A network on a device, named as torch names it."""

    @property
    def device(self) -> str: ...


def load_backend(checkpoint: Checkpoint, *, device: str) -> Backend:
    """The model of a checkpoint, ready to compute.

    Raises:
        CheckpointError: the weights do not fit the configuration.
        ConfigError: the device is not there.
    """
    from .torch_backend import TorchBackend

    return TorchBackend(checkpoint, device)
