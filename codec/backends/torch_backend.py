"""A model computed by PyTorch, on the CPU or a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ..checkpoint import Checkpoint
from ..errors import CheckpointError, ConfigError
from ..model import CodecModel
from ..model.streaming import decode_step, encode_step
from ..streams.runner import Arrays


class TorchBackend:
    """See `codec.streams.runner.Network`. Computes in float32 on a GPU too, so that codes are those of a CPU."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        self._device = _device(device)
        self.model = build_model(checkpoint).to(self._device)

    @property
    def device(self) -> str:
        return str(self._device)

    @torch.inference_mode()
    def encode(self, waves: np.ndarray, position_bits: Sequence[int]) -> np.ndarray:
        batch = torch.from_numpy(waves).to(self._device)
        with tf32(allowed=False):
            return self.model.encode(batch, position_bits).int().cpu().numpy()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray, position_bits: Sequence[int], noise: np.ndarray | None = None) -> np.ndarray:
        batch = torch.from_numpy(codes.astype(np.int64)).to(self._device)
        with tf32(allowed=False):
            made = None if noise is None else torch.from_numpy(noise).to(self._device)
            return self.model.decode(batch, position_bits, made).cpu().numpy()

    @torch.inference_mode()
    def encode_step(
        self, hops: np.ndarray, state: Arrays, first: int, end: int, position_bits: Sequence[int]
    ) -> tuple[np.ndarray, Arrays]:
        with tf32(allowed=False):
            codes, after = encode_step(
                self.model, self._tensor(hops), [*map(self._tensor, state)], first, end, position_bits
            )
        return codes.int().cpu().numpy(), _arrays(after)

    @torch.inference_mode()
    def decode_step(
        self, codes: np.ndarray, noise: np.ndarray, state: Arrays, first: int, end: int, position_bits: Sequence[int]
    ) -> tuple[np.ndarray, Arrays]:
        batch = self._tensor(codes.astype(np.int64))
        tensors = [*map(self._tensor, state)]
        with tf32(allowed=False):
            hops, after = decode_step(self.model, batch, self._tensor(noise[None]), tensors, first, end, position_bits)
        return hops.cpu().numpy(), _arrays(after)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _arrays(tensors: Sequence[torch.Tensor]) -> Arrays:
    """Copies: a view would keep the whole window in memory."""
    return tuple(tensor.cpu().numpy().copy() for tensor in tensors)


@contextlib.contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """GPUs' numbers of ten bits in convolutions (there PyTorch's default) and matrix products, or in neither."""
    convolutions: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = allowed
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} is not available here: {str(error).splitlines()[0]}") from error
    return device


class _ShapesAlone(TorchFunctionMode):
    """Makes modules on the meta device without normal random numbers.

    There are none there, but to find that out torch imports its compiler, which takes longer than all of torch.
    """

    _INSTEAD: ClassVar = {torch.nn.init.normal_: lambda *_, tensor, **__: tensor, torch.randn: torch.empty}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self._INSTEAD.get(func, func)(*args, **(kwargs or {}))


def build_model(checkpoint: Checkpoint) -> CodecModel:
    """The model of a checkpoint, for inference."""
    with torch.device("meta"), _ShapesAlone():  # no memory for what the file does not hold
        model = CodecModel.plain(checkpoint.config)
    weights = {name: torch.from_numpy(np.array(t)).float() for name, t in checkpoint.weights.items()}
    expected = dict(model.named_parameters())
    wrong = sorted(set(weights) ^ set(expected)) or [n for n in expected if weights[n].shape != expected[n].shape]
    if wrong:
        raise CheckpointError(f"the model file does not fit its configuration, e.g. at {wrong[0]!r}")
    buffers = {name: torch.zeros(value.shape) for name, value in model.state_dict().items() if name not in weights}
    model.load_state_dict(weights | buffers, assign=True)
    for stage in model.quantizer:
        stage.forget_statistics()
    return model
