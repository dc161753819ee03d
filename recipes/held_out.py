"""The clips that a recipe measures on: spread evenly over a folder tree, and only those are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from codec import AUDIO_SUFFIXES, AudioError
from codec.training.validation import HeldOut, read_clip

Item = TypeVar("Item")


def audio_files(folder: Path) -> list[Path]:
    """All audio files below a folder, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise AudioError(f"no audio files below {folder}")
    return paths


def spread(items: Sequence[Item], at_most: int | None) -> list[Item]:
    """`at_most` of the items, the i-th at i · len(items) // at_most; all where there are no more, or None is given."""
    if at_most is None or at_most >= len(items):
        return list(items)
    return [items[index * len(items) // at_most] for index in range(at_most)]


def read_held_out(paths: Sequence[Path], sample_rate_hz: int) -> list[HeldOut]:
    """The files, decoded, at the rate asked for, named by their place below the folder that holds them all."""
    root = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    return [HeldOut(name=name, wave=read_clip(path, sample_rate_hz)) for name, path in zip(names, paths, strict=True)]
