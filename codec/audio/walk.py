"""Finds the audio files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..files.output import is_special_file
from .audio_reader import AUDIO_SUFFIXES


def walk_audio(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the files below a folder that count as audio by their suffix, unopened: a corpus may
    have millions.

    Hidden ones, such as the ._x.wav that macOS leaves, those in hidden folders, and pipes and
    sockets, which might be waited for without end, are passed over. A folder's own files come
    first, by name, then those of its subfolders.
    """
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in names if not name.startswith("."))
        for path in (Path(root, name) for name in visible):
            if path.suffix.lower() in AUDIO_SUFFIXES and not is_special_file(path):
                yield path
