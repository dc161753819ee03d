"""A diveq-codec model as a candidate: real `.dvq` bytes, whole files, timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ..api import Codec
from ..errors import ConfigError
from ..results import Encoded
from .candidates import Decoded
from .result import StageUse
from .signal import Signal
from .stage_use import StageCounter

__all__ = ["ModelStages", "model_candidates"]


class ModelStages:
    """The first stages of a model. Its output has no delay, so none is searched for."""

    align = False

    def __init__(self, codec: Codec, stages: int) -> None:
        self._codec = codec
        self._stages = stages
        self._counter = StageCounter([stage.bits for stage in codec.config.stages[:stages]])
        self.family = codec.name
        self.note = f"model {codec.fingerprint.hex()}"
        self.name = f"{codec.name}, {stages} stage{'s' * (stages != 1)}"

    def decode(self, name: str, signal: Signal) -> Decoded:
        """Through the bytes that a file would hold, at the rate and with the channels of the original."""
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
        return self._codec.encode(signal.wave, sample_rate_hz=signal.sample_rate_hz, stages=self._stages)


def model_candidates(codec: Codec, stage_counts: Sequence[int] | None = None) -> list[ModelStages]:
    """The model at each of these counts of stages; by default 1, 2, 4, 8, … and all.

    Raises:
        ConfigError: The model has fewer stages than asked for.
    """
    most = len(codec.config.stages)
    if stage_counts is None:
        stage_counts = [1 << power for power in range((most - 1).bit_length())] + [most]
    if wrong := [count for count in stage_counts if not 1 <= count <= most]:
        raise ConfigError(f"{codec.name} has stages 1 to {most}, not {', '.join(map(str, wrong))}")
    _warm_up(codec)
    return [ModelStages(codec, count) for count in dict.fromkeys(stage_counts)]


def _warm_up(codec: Codec) -> None:
    """The first use of a device sets it up, which is no part of its speed."""
    rate = codec.config.sample_rate_hz
    codec.decode(codec.encode(np.zeros(rate, np.float32), sample_rate_hz=rate))
