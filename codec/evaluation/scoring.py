"""One decoded clip against its reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError
from ..metrics import Metric, Score, score
from .alignment import MAX_DELAY_SECONDS, find_delay, line_up, overlap
from .signal import Signal

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Comparison", "Pair", "compare"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """What is to be compared, and how; `align` finds and removes a delay, `metrics` is as for
    `score`.
    """

    reference: Signal
    decoded: Signal
    metrics: Sequence[str] | None = None
    extra_metrics: Mapping[str, Metric] = field(default_factory=dict)
    align: bool = True
    keep_wave: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The scores; `wave`, where it is kept, is the decoded audio at the rate, and in the place, of
    the reference.
    """

    scores: dict[str, Score] = field(default_factory=dict)
    delay_samples: int = 0
    wave: Float[np.ndarray, "channels samples"] | None = None
    failure: str | None = None


def compare(pair: Pair) -> Comparison:
    """Resample the decoded clip to the rate of its reference, remove its delay, and measure where
    both have samples.

    Each channel is measured by itself, and a score is the mean over channels; it fails where any
    channel's does. What cannot be compared at all has a `failure` in place of scores.
    """
    try:
        return _compare(pair)
    except AudioError as error:
        return Comparison(failure=str(error))


def _compare(pair: Pair) -> Comparison:
    reference = pair.reference
    decoded = pair.decoded.at(reference.sample_rate_hz)
    _check(reference, decoded)
    delay = find_delay(reference, decoded) if pair.align else 0
    samples = reference.wave.shape[1]
    part = slice(*overlap(decoded.wave.shape[1], delay, samples))
    placed = line_up(decoded.wave, delay, samples)
    of_channels = [
        score(
            original[part],
            estimate[part],
            sample_rate_hz=reference.sample_rate_hz,
            names=pair.metrics,
            extra_metrics=pair.extra_metrics,
        )
        for original, estimate in zip(reference.wave, placed, strict=True)
    ]
    scores = {name: _mean([channel[name] for channel in of_channels]) for name in of_channels[0]}
    return Comparison(scores=scores, delay_samples=delay, wave=placed if pair.keep_wave else None)


def _check(reference: Signal, decoded: Signal) -> None:
    if not reference.wave.any():  # its distances would count as perfect
        raise AudioError("the reference is silent")
    if len(decoded.wave) != len(reference.wave):
        raise AudioError(
            f"the reference has {len(reference.wave)} channels, the decoded audio "
            f"{len(decoded.wave)}"
        )
    if abs(decoded.seconds - reference.seconds) > MAX_DELAY_SECONDS:
        raise AudioError(
            f"the decoded audio lasts {decoded.seconds:.2f} s, the reference "
            f"{reference.seconds:.2f} s: "
            f"a delay explains at most {MAX_DELAY_SECONDS} s"
        )


def _mean(scores: Sequence[Score]) -> Score:
    for channel, one in enumerate(scores, start=1):
        if one.failure is not None:
            return one if len(scores) == 1 else Score(None, f"channel {channel}: {one.failure}")
    measured = [(one.value, one.weight) for one in scores if one.value is not None]
    if not measured:
        return Score(None)
    values, weights = zip(*measured, strict=True)
    return Score(float(np.average(values, weights=weights)), weight=float(np.sum(weights)))
