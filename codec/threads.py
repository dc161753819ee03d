"""Decides how many processor threads to compute with."""

from __future__ import annotations

import os

__all__ = ["THREADS_VARIABLE", "allowed_processors", "allowed_threads"]

THREADS_VARIABLE = "OMP_NUM_THREADS"


def allowed_threads() -> int:
    """Return OMP_NUM_THREADS, of a list its first number, which is that of the outermost loops; or
    else the number of processors that this process may run on.
    """
    wanted = os.environ.get(THREADS_VARIABLE, "").partition(",")[0].strip()
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return allowed_processors()


def allowed_processors() -> int:
    """Return the number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone knows which processors we may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
