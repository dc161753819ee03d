"""Candidates of an evaluation: anything that decodes each original."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from ..errors import AudioError
from .result import StageUse
from .signal import Original, Signal, find_sources, read_signal

__all__ = ["Candidate", "Decoded", "DecodedFolder"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """One clip, decoded: its audio, the bits that it took, and the seconds that coding took; None
    where unknown.
    """

    signal: Signal
    bits: int | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None


class Candidate(Protocol):
    """A codec at one rate.

    Attributes:
        name: Its own in the evaluation.
        family: What its curve is called, with the other rates of the codec.
        note: For the reader; "" for nothing.
        align: Whether it may delay, so that delays are searched for and removed.
    """

    name: str
    family: str
    note: str
    align: bool

    def decode(self, name: str, signal: Signal) -> Decoded:
        """A clip, coded and decoded. An error of this package, but for `ConfigError`, fails this
        clip alone.
        """
        ...

    def stages(self) -> tuple[StageUse, ...] | None:
        """Return how quantizer stages were used over all clips, or None."""
        ...


class DecodedFolder:
    """Audio that was decoded before, matched to its originals by the path below the folder, without
    the suffix.

    Args:
        path: A folder; or a file, which is the partner of any original.
        name: By default the folder's.
    """

    note = ""
    align = True

    def __init__(
        self, path: str | os.PathLike[str], *, name: str | None = None, align: bool = True
    ) -> None:
        path = Path(path)
        self.name = self.family = name or path.resolve().name
        self.align = align
        self._files: dict[str, list[Path]] = {}
        self._any = None if path.is_dir() else path
        if path.is_dir():
            for source in find_sources(path):
                self._files.setdefault(_key(source.name), []).append(source.path)

    def decode(self, name: str, signal: Signal) -> Decoded:
        """Return the partner's audio, unchanged."""
        return Decoded(signal=read_signal(self._any or self._partner(name)))

    def stages(self) -> None:
        return None

    def without_original(self, originals: Sequence[Original]) -> list[Path]:
        """The decoded files that belong to none of these originals."""
        known = {_key(original.name) for original in originals}
        return [path for key, paths in self._files.items() if key not in known for path in paths]

    def _partner(self, name: str) -> Path:
        partners = self._files.get(_key(name), [])
        if not partners:
            raise AudioError(f"{self.name} holds no decoded {name} (of any suffix)")
        if len(partners) > 1:
            raise AudioError(
                f"{self.name} holds {len(partners)} of it: "
                f"{', '.join(path.name for path in partners)}"
            )
        return partners[0]


def _key(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
