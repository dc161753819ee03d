"""Runs a recipe's `main`: parses arguments, prints errors in one line, and starts worker
processes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from codec import DiveqCodecError
from codec.evaluation.score_processes import score_workers
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
            main(tyro.cli(arguments))
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")
