"""Measures how much memory a process has held."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """The most memory that this process has held, in 10⁶ bytes."""
    if _STATUS.exists():  # Linux; its ru_maxrss begins with what the parent held
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        assert found
        return int(found[1]) * 1024 / 1e6
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
