"""Starts processes that score. Imports no numpy, which counts its threads when it loads."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess

__all__ = ["score_workers"]


@contextmanager
def score_workers(count: int, *, import_main: bool = False) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes for metrics, one thread each; an exception cancels what they have not
    begun, and does not wait for them.

    Stop signals, which go to all processes of a run, do not end them; the end of the process that
    started them does. Metrics that the main module defines need `import_main`.
    """
    context = get_context("spawn") if import_main else _LightContext()
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_prepare_worker)
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


class _LightProcess(SpawnProcess):
    """Does not import its parent's main module, which in training imports torch."""

    def start(self) -> None:
        main = sys.modules["__main__"]
        spec = main.__spec__
        main.__spec__ = ModuleSpec("codec.__main__", None)  # by a name that spawn leaves alone
        try:
            super().start()
        finally:
            main.__spec__ = spec


class _LightContext(SpawnContext):
    Process = _LightProcess
