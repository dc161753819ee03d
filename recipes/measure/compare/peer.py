"""A codec of one channel as a candidate of the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from codec.evaluation.candidates import Decoded
from codec.evaluation.signal import Signal


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded:
    """A channel, coded and decoded: `wave` float32 (samples,), at the rate that it was given at."""

    wave: np.ndarray
    bits: int
    encode_seconds: float
    decode_seconds: float


@dataclass(kw_only=True, eq=False)
class Peer:
    """Codes each channel by itself.

    Attributes:
        name, family, note, align: As in `codec.evaluation.candidates.Candidate`.
        code: Takes a wave (samples,) and its rate in Hz.
        sample_rate_hz: The rate that `code` works at; None for that of the original.
    """

    name: str
    family: str
    code: Callable[[np.ndarray, int], Coded]
    note: str = ""
    align: bool = True
    sample_rate_hz: int | None = None

    def decode(self, name: str, signal: Signal) -> Decoded:
        """A clip, coded and decoded; resampling counts for no time."""
        rate = self.sample_rate_hz or signal.sample_rate_hz
        channels = [self.code(wave, rate) for wave in signal.at(rate).wave]
        return Decoded(
            signal=Signal(
                wave=_side_by_side([channel.wave for channel in channels]), sample_rate_hz=rate
            ),
            bits=sum(channel.bits for channel in channels),
            encode_seconds=sum(channel.encode_seconds for channel in channels),
            decode_seconds=sum(channel.decode_seconds for channel in channels),
        )

    def stages(self) -> None:
        return None


def _side_by_side(waves: Sequence[np.ndarray]) -> np.ndarray:
    length = min(len(wave) for wave in waves)
    return np.stack([wave[:length] for wave in waves]).astype(np.float32, copy=False)
