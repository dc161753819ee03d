"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

_LINUX_FACTS = Path("/proc/cpuinfo")


def machine_facts(threads: int) -> dict[str, Any]:
    """Processor, cores and versions, for the record."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    """Its name, where the system tells."""
    if _LINUX_FACTS.exists():
        for line in _LINUX_FACTS.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
