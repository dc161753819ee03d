"""Wall-clock times that can be compared: all calls in turn, round after round, and the median of
each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from .candidates import TimedCodec, noise

_GEMM_SIZE = 1024
_GEMM_CALLS = 20


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Median times of one codec at one length; speeds are in times real time."""

    name: str
    seconds: float
    encode_seconds: float
    decode_seconds: float

    @property
    def encode(self) -> float:
        return self.seconds / self.encode_seconds

    @property
    def decode(self) -> float:
        return self.seconds / self.decode_seconds


def interleaved(tasks: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """The median seconds of each task; a slow minute of the machine falls on all of them alike."""
    times: list[list[float]] = [[] for _ in tasks]
    for _ in range(repeats):
        for task, taken in zip(tasks, times, strict=True):
            started = time.perf_counter()
            task()
            taken.append(time.perf_counter() - started)
    return [median(taken) for taken in times]


def measure(
    candidates: Sequence[TimedCodec], seconds: float, repeats: int
) -> tuple[list[Speed], float]:
    """Speeds on audio of this length, and the machine's multiply-adds per second, measured in the
    same rounds.
    """
    tasks: list[Callable[[], object]] = [_gemm()]
    for candidate in candidates:
        wave = noise(seconds, candidate.sample_rate_hz)
        coded = candidate.encode(wave)  # the first call also finds its algorithms and memory
        candidate.decode(coded)
        tasks += [lambda c=candidate, w=wave: c.encode(w), lambda c=candidate, d=coded: c.decode(d)]
    gemm_seconds, *times = interleaved(tasks, repeats)
    speeds = [
        Speed(name=candidate.name, seconds=seconds, encode_seconds=encode, decode_seconds=decode)
        for candidate, encode, decode in zip(candidates, times[::2], times[1::2], strict=True)
    ]
    return speeds, _GEMM_CALLS * _GEMM_SIZE**3 / gemm_seconds


def _gemm() -> Callable[[], None]:
    """Multiply large float32 matrices: the most multiply-adds that this machine does."""
    left, right, out = (torch.ones(_GEMM_SIZE, _GEMM_SIZE) for _ in range(3))

    def multiply() -> None:
        for _ in range(_GEMM_CALLS):
            torch.mm(left, right, out=out)

    multiply()
    return multiply
