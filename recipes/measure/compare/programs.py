"""Codecs that are programs: how they are found and run."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from codec.errors import AudioError, ConfigError

_TIMEOUT_SECONDS = 600


def require(programs: Sequence[str], package: str) -> None:
    """Raise a `ConfigError` where a program is not installed."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        raise ConfigError(f"{' and '.join(missing)} not found: install {package}")


def run(*command: str | Path) -> float:
    """Run a program; return the seconds that it took, its start included.

    Raises:
        AudioError: It failed; with the last line that it said.
    """
    started = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AudioError(f"{command[0]} failed: {error}") from error
    elapsed = time.perf_counter() - started
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise AudioError(
            f"{command[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}"
        )
    return elapsed
