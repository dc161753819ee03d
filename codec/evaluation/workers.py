"""Processes that score. Imports no numpy, whose threads are counted when it loads."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

__all__ = ["score_workers"]


def score_workers(count: int) -> ProcessPoolExecutor:
    """Processes for metrics, one thread each. Stop signals, which go to all processes of a run, do not end them."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
