"""Accumulates the clips, bits and seconds of one candidate during an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import ConfigError, DiveqCodecError
from .candidates import Candidate, Decoded
from .result import Clip, System
from .signal import Signal
from .summary import summarise

__all__ = ["Tally"]


class Tally:
    """Accumulates a candidate's clips and their cost. A clip that cannot be decoded adds no
    cost, and counts for no rate or speed.
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self._clips: list[Clip] = []
        self._seconds = 0.0
        self._bits: list[int | None] = []
        self._encode_seconds: list[float | None] = []
        self._decode_seconds: list[float | None] = []

    def decode(self, name: str, signal: Signal) -> Decoded | str:
        """Decode a clip, or say in one line why that failed."""
        try:
            decoded = self.candidate.decode(name, signal)
        except ConfigError:  # the next clip would meet it as well
            raise
        except DiveqCodecError as error:
            return str(error)
        self._seconds += signal.seconds
        self._bits.append(decoded.bits)
        self._encode_seconds.append(decoded.encode_seconds)
        self._decode_seconds.append(decoded.decode_seconds)
        return decoded

    def add(self, clip: Clip) -> Clip:
        """Append a clip, in the order of the references."""
        self._clips.append(clip)
        return clip

    def system(self, metrics: Iterable[str]) -> System:
        """Return the sums as a `System`."""
        bits = _sum(self._bits)
        return System(
            name=self.candidate.name,
            family=self.candidate.family,
            note=self.candidate.note,
            clips=tuple(self._clips),
            means=summarise(self._clips, metrics),
            kbps=None if bits is None else 1e-3 * bits / self._seconds,
            encode_speed=self._speed(self._encode_seconds),
            decode_speed=self._speed(self._decode_seconds),
            stages=self.candidate.stages(),
        )

    def _speed(self, spent: Sequence[float | None]) -> float | None:
        seconds = _sum(spent)
        return self._seconds / seconds if seconds else None


def _sum(values: Sequence[float | None]) -> float | None:
    """None where any is unknown, or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
