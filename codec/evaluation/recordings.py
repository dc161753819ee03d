"""Writes the audio of an evaluation as files beside it, for listening: 16-bit WAV, all versions of
a clip aligned.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from ..audio.audio_writer import AudioWriter
from .signal import Signal

__all__ = ["Recordings"]

_REFERENCE = "reference"


class Recordings:
    """Writes below `folder`: `reference/a/b.wav`, and for a system `its_name/a/b.wav`.

    Args:
        folder: Made where it is missing.
        overwrite: Replace what is there.
    """

    def __init__(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._folder = Path(folder)
        self._overwrite = overwrite
        self._folders: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def keep_original(self, original: str, signal: Signal) -> str:
        """Write the original; return its path relative to the folder."""
        return self._keep(_REFERENCE, original, signal)

    def keep_decoded(self, system: str, original: str, signal: Signal) -> str:
        """Write a system's output; return its path relative to the folder."""
        plain = re.sub(r"[^a-z0-9.-]+", "_", system.lower()).strip("_.") or "system"
        return self._keep(_unique(self._folders, system, plain, {_REFERENCE}), original, signal)

    def _keep(self, folder: str, original: str, signal: Signal) -> str:
        plain = PurePosixPath(original).with_suffix("").as_posix()
        place = f"{folder}/{_unique(self._names, original, plain, set())}.wav"
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with AudioWriter(
            path,
            sample_rate_hz=signal.sample_rate_hz,
            channels=len(signal.wave),
            subtype="PCM_16",
            overwrite=self._overwrite,
        ) as writer:
            writer.write(signal.wave)
        return place


def _unique(given: dict[str, str], name: str, plain: str, reserved: set[str]) -> str:
    """What `name` was given before, or else `plain`, numbered where another has it."""
    if name not in given:
        taken = reserved | set(given.values())
        choice, number = plain, 2
        while choice in taken:
            choice, number = f"{plain}_{number}", number + 1
        given[name] = choice
    return given[name]
