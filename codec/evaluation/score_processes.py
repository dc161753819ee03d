"""Starts processes that score. Imports no numpy, which counts its threads when it loads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

__all__ = ["score_workers"]


@contextmanager
def score_workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes for metrics, one thread each; an exception cancels what they have not
    begun, and does not wait for them.

    Stop signals, which go to all processes of a run, do not end them; the end of the process that
    started them does.
    """
    executor = ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=_prepare_worker
    )
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _prepare_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent ends: a killed parent would leave it alive, with its standard
    output open.
    """
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
