"""Runs a recipe's `main`: parses arguments, prints errors in one line, and starts worker
processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import tyro

from codec import DiveqCodecError
from codec.evaluation import score_processes
from codec.files.stop import stop_signals

__all__ = ["run_script", "score_workers"]

Arguments = TypeVar("Arguments")


def run_script(main: Callable[[Arguments], None], arguments: type[Arguments]) -> None:
    """Parse the command line into `arguments`, run `main`; an error of ours is one line and exit
    code 1.

    A stop signal ends the script at once, with the processes that it started.
    """
    try:
        with stop_signals(message=lambda stopped: stopped.words):
            main(tyro.cli(arguments, prog=_program()))
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")


def _program() -> str | None:
    """`python -m NAME` of a module that was started so: what help calls it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = None if spec is None else spec.name.removesuffix(".__main__")
    return None if name is None else f"python -m {name}"


def score_workers(count: int) -> AbstractContextManager[Executor | None]:
    """Start processes that score; with a count of 1 there are none, and this one scores."""
    return score_processes.score_workers(count) if count > 1 else nullcontext()
