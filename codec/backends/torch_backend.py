"""A model computed by PyTorch, on the CPU or a GPU."""

from __future__ import annotations

import contextlib
import os
import threading
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

_LONGEST_REASON = 100
_imported_by = os.getpid()


class TorchBackend:
    """See `codec.streams.runner.Network`. Computes in float32 on a GPU too, so that codes are those
    of a CPU.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        _keep_to_one_thread_after_fork()
        self._device = _device(device)
        self.model = build_model(checkpoint).to(self._device)

    @property
    def device(self) -> str:
        return str(self._device)

    @torch.inference_mode()
    def encode(self, waves: np.ndarray, position_bits: Sequence[int]) -> np.ndarray:
        _keep_to_one_thread_after_fork()
        batch = torch.from_numpy(waves).to(self._device)
        with tf32(allowed=False):
            return self.model.encode(batch, position_bits).int().cpu().numpy()

    @torch.inference_mode()
    def decode(
        self, codes: np.ndarray, position_bits: Sequence[int], noise: np.ndarray | None = None
    ) -> np.ndarray:
        _keep_to_one_thread_after_fork()
        batch = torch.from_numpy(codes.astype(np.int64)).to(self._device)
        with tf32(allowed=False):
            made = None if noise is None else torch.from_numpy(noise).to(self._device)
            return self.model.decode(batch, position_bits, made).cpu().numpy()

    @torch.inference_mode()
    def encode_step(
        self, hops: np.ndarray, state: Arrays, first: int, end: int, stages: int
    ) -> tuple[np.ndarray, Arrays]:
        tensors = [*map(self._tensor, state)]
        with tf32(allowed=False):
            codes, after = encode_step(self.model, self._tensor(hops), tensors, first, end, stages)
        return codes.int().cpu().numpy(), _arrays(after)

    @torch.inference_mode()
    def decode_step(
        self,
        codes: np.ndarray,
        noise: np.ndarray,
        state: Arrays,
        first: int,
        end: int,
        position_bits: Sequence[int],
    ) -> tuple[np.ndarray, Arrays]:
        batch = self._tensor(codes.astype(np.int64))
        tensors = [*map(self._tensor, state)]
        with tf32(allowed=False):
            hops, after = decode_step(
                self.model, batch, self._tensor(noise[None]), tensors, first, end, position_bits
            )
        return hops.cpu().numpy(), _arrays(after)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def _arrays(tensors: Sequence[torch.Tensor]) -> Arrays:
    """Copy tensors to arrays: a view would keep the whole window in memory."""
    return tuple(tensor.cpu().numpy().copy() for tensor in tensors)


def _keep_to_one_thread_after_fork() -> None:
    """Use one thread in forked processes, where OpenMP's other threads do not exist and PyTorch
    would wait for them for ever.
    """
    global _imported_by
    if _imported_by != os.getpid():
        torch.set_num_threads(1)
        _imported_by = os.getpid()


@contextlib.contextmanager
def tf32(*, allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 (10-bit mantissa) in convolutions, where PyTorch allows it, and in
    matrix products.

    PyTorch's flags are those of the whole process: threads that want the same share them, and the
    last one to leave restores what the first one found; a thread that wants the other waits until
    then.
    """
    flags = _TF32_OF_PROCESS.setdefault(
        os.getpid(), _Tf32()
    )  # a fork copies users whose threads the child has not
    flags.enter(allowed)
    try:
        yield
    finally:
        flags.leave()


class _Tf32:
    """The flags, and which threads rely on them.

    Threads share one value. A thread that is alone may change it for a while within: then others
    wait until it is back.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._threads: list[int] = []
        self._values: list[bool] = []  # one for each entry of a thread, the last one in force
        self._before = (True, False)

    def enter(self, allowed: bool) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._changed.wait_for(
                lambda: set(self._threads) <= {thread} or set(self._values) == {allowed}
            )
            if not self._values:
                self._before = _tf32_flags()
            self._threads.append(thread)
            self._values.append(allowed)
            _set_tf32_flags(allowed, allowed)

    def leave(self) -> None:
        with self._changed:
            self._threads.remove(threading.get_ident())
            self._values.pop()
            _set_tf32_flags(*([self._values[-1]] * 2 if self._values else self._before))
            self._changed.notify_all()


def _tf32_flags() -> tuple[bool, bool]:
    return bool(torch.backends.cudnn.allow_tf32), bool(torch.backends.cuda.matmul.allow_tf32)


def _set_tf32_flags(convolutions: bool, products: bool) -> None:
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    cudnn.allow_tf32, matmul.allow_tf32 = convolutions, products


_TF32_OF_PROCESS: dict[int, _Tf32] = {}


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        if len(reason) > _LONGEST_REASON:  # PyTorch lists all its devices, or operators
            reason = "this PyTorch does not know it, or cannot compute on it"
        raise ConfigError(
            f"device {name!r} is not available here: {reason}; choose auto, cpu or cuda"
        ) from error
    return device


class _ShapesAlone(TorchFunctionMode):
    """A mode that creates modules on the meta device without drawing random numbers.

    There are none there, but to find that out torch imports its compiler, which takes longer than
    all of torch.
    """

    _INSTEAD: ClassVar = {
        torch.nn.init.normal_: lambda *_, tensor, **__: tensor,
        torch.randn: torch.empty,
    }

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return self._INSTEAD.get(func, func)(*args, **(kwargs or {}))


def build_model(checkpoint: Checkpoint) -> CodecModel:
    """Build a checkpoint's model for inference."""
    with torch.device("meta"), _ShapesAlone():  # no memory for what the file does not hold
        model = CodecModel.plain(checkpoint.config)
    weights = {
        name: torch.from_numpy(np.array(t)).float() for name, t in checkpoint.weights.items()
    }
    expected = dict(model.named_parameters())
    wrong = sorted(set(weights) ^ set(expected)) or [
        n for n in expected if weights[n].shape != expected[n].shape
    ]
    if wrong:
        raise CheckpointError(
            f"the model file does not fit its configuration, e.g. at {wrong[0]!r}"
        )
    buffers = {
        name: torch.zeros(value.shape)
        for name, value in model.state_dict().items()
        if name not in weights
    }
    model.load_state_dict(weights | buffers, assign=True)
    for stage in model.quantizer:
        stage.forget_statistics()
    return model
