"""Audio to compare: held in memory, read whole, at any rate."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..audio import AUDIO_SUFFIXES, open_audio, walk_audio
from ..audio.resampling import resample_blocks
from ..errors import AudioError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["NamedSignal", "Original", "Signal", "Source", "find_sources", "read_signal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """`wave` float32 (channels, samples), nominally in [-1, 1]."""

    wave: Float[np.ndarray, "channels samples"]
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return self.wave.shape[1] / self.sample_rate_hz

    def at(self, sample_rate_hz: int) -> Signal:
        """Resample to another rate, without delay."""
        channels = len(self.wave)
        blocks = resample_blocks(
            [self.wave], from_hz=self.sample_rate_hz, to_hz=sample_rate_hz, channels=channels
        )
        empty = np.zeros((channels, 0), np.float32)
        return Signal(wave=np.concatenate([empty, *blocks], axis=1), sample_rate_hz=sample_rate_hz)


class Original(Protocol):
    """A clip to code."""

    @property
    def name(self) -> str: ...

    def read(self) -> Signal:
        """All of it, or an `AudioError`."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """An audio file, and the name it has below the folder that was given."""

    name: str
    path: Path

    def read(self) -> Signal:
        """All of it.

        Raises:
            AudioError: It cannot be read, holds NaN, or no sample.
        """
        return read_signal(self.path)


@dataclass(frozen=True, slots=True)
class NamedSignal:
    """A clip that is in memory."""

    name: str
    signal: Signal

    @classmethod
    def mono(
        cls, name: str, wave: Float[np.ndarray, " samples"], sample_rate_hz: int
    ) -> NamedSignal:
        """One channel."""
        return cls(name, Signal(wave=wave[None], sample_rate_hz=sample_rate_hz))

    def read(self) -> Signal:
        """The signal itself."""
        return self.signal


def find_sources(path: str | os.PathLike[str]) -> list[Source]:
    """The file itself, or all audio files below a folder, sorted by name, but for hidden ones, and
    pipes and sockets of such names.

    Raises:
        AudioError: There is nothing.
    """
    path = Path(path)
    if not path.is_dir():
        return [Source(path.name, path)]
    found = [Source(file.relative_to(path).as_posix(), file) for file in walk_audio(path)]
    sources = sorted(found, key=lambda source: source.name)
    if not sources:
        raise AudioError(
            f"the folder {path} holds no audio file (looked for {' '.join(sorted(AUDIO_SUFFIXES))})"
        )
    return sources


def read_signal(path: str | os.PathLike[str]) -> Signal:
    """A whole audio file.

    Raises:
        AudioError: It cannot be read, holds NaN, or no sample.
    """
    with open_audio(path) as reader:
        blocks = list(reader.blocks())
        if not blocks:
            raise AudioError(f"{reader.name} holds no samples")
        return Signal(wave=np.concatenate(blocks, axis=1), sample_rate_hz=reader.sample_rate_hz)
