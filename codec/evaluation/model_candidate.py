"""A diveq-codec model as a candidate: real `.dvq` bytes, whole files, timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ..api import Codec
from ..errors import ConfigError
from ..streams.allocation import ROUNDING
from ..streams.results import Encoded
from .candidates import Decoded
from .result import StageUse
from .signal import Signal
from .stage_use import StageCounter

__all__ = ["ModelCandidate", "model_candidates"]


class ModelCandidate:
    """A model at a number of stages for every frame, or at a bitrate. Its output has no delay: none
    is searched for.
    """

    align = False

    def __init__(
        self, codec: Codec, *, stages: int | None = None, bitrate_kbps: float | None = None
    ) -> None:
        self._codec = codec
        self._stages, self._bitrate_kbps = stages, bitrate_kbps
        self._counter = StageCounter([stage.bits for stage in codec.config.stages[:stages]])
        self.note = f"model {codec.fingerprint.hex()}"
        if bitrate_kbps is None:
            self.family = f"{codec.name}, equal stages"
            self.name = f"{codec.name}, {stages} stage{'s' * (stages != 1)}"
        else:
            self.family = codec.name
            self.name = f"{codec.name}, {bitrate_kbps:.12g} kbps"

    def decode(self, name: str, signal: Signal) -> Decoded:
        """Encode to the bytes of a file and decode these, at the rate and with the channels of the
        original.
        """
        started = time.perf_counter()
        encoded = self._encode(signal)
        data = encoded.to_bytes()
        encoded_at = time.perf_counter()
        audio = self._codec.decode(data)
        decoded_at = time.perf_counter()
        self._counter.add(encoded.codes)
        return Decoded(
            signal=Signal(wave=audio.wave, sample_rate_hz=audio.sample_rate_hz),
            bits=8 * len(data),
            encode_seconds=encoded_at - started,
            decode_seconds=decoded_at - encoded_at,
        )

    def stages(self) -> tuple[StageUse, ...]:
        return self._counter.use()

    def _encode(self, signal: Signal) -> Encoded:
        return self._codec.encode(
            signal.wave,
            sample_rate_hz=signal.sample_rate_hz,
            stages=self._stages,
            bitrate_kbps=self._bitrate_kbps,
        )


def model_candidates(
    codec: Codec,
    *,
    stage_counts: Sequence[int] | None = None,
    bitrates_kbps: Sequence[float] | None = None,
) -> list[ModelCandidate]:
    """Make candidates of a model: at each of these bitrates, and at each of these stage counts.

    Given neither, at the bitrates of 1, 2, 4, 8, … and all stages.

    Raises:
        ConfigError: The model has fewer stages than asked for, or needs more than a bitrate.
    """
    most = len(codec.config.stages)
    if stage_counts is None and bitrates_kbps is None:
        bitrates_kbps = [
            _kbps(codec, count)
            for count in (*(1 << p for p in range((most - 1).bit_length())), most)
        ]
    counts, rates = stage_counts or (), bitrates_kbps or ()
    if wrong := [count for count in counts if not 1 <= count <= most]:
        raise ConfigError(f"{codec.name} has stages 1 to {most}, not {', '.join(map(str, wrong))}")
    if too_low := [kbps for kbps in rates if not kbps >= _kbps(codec, 1) * (1 - ROUNDING)]:
        raise ConfigError(
            f"{codec.name} needs at least {_kbps(codec, 1):g} kbps, not {too_low[0]:g}"
        )
    _warm_up(codec)
    return [
        *(ModelCandidate(codec, bitrate_kbps=kbps) for kbps in dict.fromkeys(rates)),
        *(ModelCandidate(codec, stages=count) for count in dict.fromkeys(counts)),
    ]


def _kbps(codec: Codec, stages: int) -> float:
    """Return the bitrate of the first stages in every frame of a channel."""
    return (
        sum(stage.bits for stage in codec.config.stages[:stages])
        * codec.config.frame_rate_hz
        / 1000
    )


def _warm_up(codec: Codec) -> None:
    """Run once before timing: the first use of a device sets it up."""
    rate = codec.config.sample_rate_hz
    codec.decode(codec.encode(np.zeros(rate, np.float32), sample_rate_hz=rate))
