"""Processes that score. Imports no numpy, whose threads are counted when it loads."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process

__all__ = ["score_workers"]


def score_workers(count: int) -> ProcessPoolExecutor:
    """Processes for metrics, one thread each.

    Stop signals, which go to all processes of a run, do not end them; the end of the process that started them does.
    """
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed process tells its workers nothing: they would live on, and keep its standard output open."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
