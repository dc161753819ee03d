"""Adapts training to the processor: all its cores, bf16 where it is faster, and freed memory that
is kept.
"""

from __future__ import annotations

import ctypes
import os
import platform
from time import perf_counter

import torch

from codec.threads import THREADS_VARIABLE, allowed_processors
from codec.training.settings import Precision

_SIZE, _TRIALS = 512, 5  # milliseconds in all, where bf16 is computed at all
_WORTH = 1.3  # times as fast as fp32: conversions take some of it back

_MOST_MAPPED, _TRIM_ABOVE, _ASK_FOR = -4, -1, -2  # names of glibc's `mallopt`
_KEPT_BYTES, _ASKED_BYTES = 2**31 - 1, 2**26


def threads_of_launched() -> int | None:
    """Return this process's share of the processors where a launcher has set it to one thread, as
    `accelerate launch` and torchrun do unless they are told otherwise; else None.
    """
    launched = {"ACCELERATE_MIXED_PRECISION", "LOCAL_WORLD_SIZE"} & os.environ.keys()
    if not launched or os.environ.get(THREADS_VARIABLE) != "1":
        return None
    return max(1, allowed_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def fastest_precision() -> Precision:
    """Return `bf16` where a product of matrices takes clearly less time in it.

    Processors without its instructions, most of those in use, take several times as long.
    """
    single = torch.ones(_SIZE, _SIZE)
    half = single.bfloat16()
    return "bf16" if _seconds(half) * _WORTH < _seconds(single) else "no"


def _seconds(matrix: torch.Tensor) -> float:
    """The least time of a few products."""
    seconds = []
    for _ in range(_TRIALS):
        begun = perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(perf_counter() - begun)
    return min(seconds)


def keep_freed_memory() -> None:
    """Have glibc keep what is freed. It gives large blocks back to the system by default, and each
    step fetches and clears them anew, a tenth of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MOST_MAPPED, 0)
        mallopt(_TRIM_ABOVE, _KEPT_BYTES)
        mallopt(_ASK_FOR, _ASKED_BYTES)
