"""What every recipe script does around its `main`: arguments, one-line errors, worker processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import tyro

from codec import DiveqCodecError

Arguments = TypeVar("Arguments")


def run_script(main: Callable[[Arguments], None], arguments: type[Arguments]) -> None:
    """Parse the command line into `arguments`, run `main`; an error of ours is one line and exit code 1."""
    try:
        main(tyro.cli(arguments))
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")


def score_workers(count: int) -> ProcessPoolExecutor:
    """Processes for metrics, one thread each. Stop signals, which go to all processes of a run, do not end them."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_prepare_worker)


def _prepare_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
