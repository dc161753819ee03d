"""Selects which clips a page embeds: from the worst through the median to the best."""

from __future__ import annotations

import math

import numpy as np

from ..evaluation.result import Evaluation

__all__ = ["choose_clips", "is_recorded", "ranked_clips"]

_SENTENCE_SECONDS = 3


def choose_clips(evaluation: Evaluation, count: int) -> tuple[int, ...]:
    """Choose at most `count` of the clips that have recordings, evenly spaced in the ranking, the
    worst and the best included.

    Returns:
        Places in `evaluation.references`, ascending, but those too short for a sentence last.
    """
    heard = [clip for clip in ranked_clips(evaluation) if is_recorded(evaluation, clip)]
    places = np.rint(np.linspace(0, len(heard) - 1, min(count, len(heard)))).astype(int)
    chosen = (heard[place] for place in places)
    return tuple(
        sorted(
            chosen, key=lambda clip: (evaluation.references[clip].seconds < _SENTENCE_SECONDS, clip)
        )
    )


def ranked_clips(evaluation: Evaluation) -> list[int]:
    """Sort all clips from the worst to the best, by the first metric that has values.

    Systems differ more than clips do, so each value counts by its distance from its system's mean,
    in standard deviations; a clip's place follows from the average over systems. Clips without a
    value are in the middle.
    """
    clips = range(len(evaluation.references))
    for metric in evaluation.metrics:
        standings = np.array(
            [_standings(evaluation, system, metric) for system in range(len(evaluation.systems))]
        )
        known = (~np.isnan(standings)).sum(axis=0)
        if known.any():
            average = np.nansum(standings, axis=0) / np.maximum(known, 1)
            return sorted(clips, key=lambda clip: float(average[clip]))
    return list(clips)


def _standings(evaluation: Evaluation, system: int, metric: str) -> np.ndarray:
    """Distances from the mean in standard deviations, positive is better, (clips,); NaN where there
    is no value.
    """
    scores = [clip.scores.get(metric) for clip in evaluation.systems[system].clips]
    values = np.array(
        [math.nan if score is None or score.value is None else score.value for score in scores]
    )
    known = values[~np.isnan(values)]
    if not known.size:
        return values
    merits = np.array([evaluation.merit(metric, value) for value in values.tolist()])
    known = merits[~np.isnan(merits)]
    return (merits - known.mean()) / (known.std() or 1.0)


def is_recorded(evaluation: Evaluation, clip: int) -> bool:
    """Whether the evaluation names recordings of a clip and of its reference."""
    heard = any(system.clips[clip].audio is not None for system in evaluation.systems)
    return heard and evaluation.references[clip].audio is not None
