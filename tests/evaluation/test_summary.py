"""Means and intervals: against resampling written out, the normal law, and cases that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from codec.evaluation.result import Clip, Mean
from codec.evaluation.summary import summarise
from codec.metrics import Score


def clips(values) -> list[Clip]:
    return [
        Clip(name=str(n), scores={"m": Score(None, "bad") if v is None else Score(v)})
        for n, v in enumerate(values)
    ]


def mean_of(values) -> Mean:
    return summarise(clips(values), ["m"])["m"]


def test_the_interval_is_that_of_resampling_written_out():
    values = np.random.default_rng(7).gamma(2.0, size=23).tolist()
    generator, means = np.random.default_rng(0), []
    for _ in range(2000):
        drawn = [values[generator.integers(23)] for _ in range(23)]
        means.append(math.fsum(drawn) / 23)
    means.sort()

    def percentile(share: float) -> float:
        place = share * 1999
        below = int(place)
        return means[below] + (place - below) * (means[below + 1] - means[below])

    found = mean_of(values)
    assert found.mean == pytest.approx(math.fsum(values) / 23, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(
        (percentile(0.025), percentile(0.975)), abs=1e-12
    )
    assert mean_of(values) == found


def test_of_many_values_it_is_that_of_the_normal_law():
    values = (
        np.random.default_rng(3).standard_normal(3000) * 2 + 5
    )  # more than one block of resamples
    found = mean_of(values.tolist())
    error = 1.96 * values.std() / math.sqrt(3000)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - error, values.mean() + error), abs=0.08 * error
    )


def test_values_count_by_their_weights():
    values, weights = np.random.default_rng(5).random((2, 40))
    scores = [
        Score(value, weight=weight)
        for value, weight in zip(values.tolist(), weights.tolist(), strict=True)
    ]
    found = summarise([Clip(name="x", scores={"m": score}) for score in scores], ["m"])["m"]
    assert found.mean == pytest.approx(values @ weights / weights.sum(), abs=1e-12)
    draws = np.random.default_rng(0).integers(40, size=(2000, 40))
    means = [np.average(values[drawn], weights=weights[drawn]) for drawn in draws]
    assert (found.low, found.high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-9)


def test_what_had_nothing_to_measure_is_no_failure():
    scored = [*clips([2.0, None]), Clip(name="no hiss", scores={"m": Score(None)})]
    assert summarise(scored, ["m"])["m"] == Mean(mean=2.0, low=None, high=None, clips=1, failed=1)


def test_failures_are_left_out_and_counted():
    assert mean_of([None, None]) == Mean(mean=None, low=None, high=None, clips=0, failed=2)
    assert mean_of([3.0, None]) == Mean(mean=3.0, low=None, high=None, clips=1, failed=1)
    assert mean_of([2.0, None, 2.0]) == Mean(mean=2.0, low=None, high=None, clips=2, failed=1)
    assert mean_of([2.0, None, 2.0, 2.0]) == Mean(mean=2.0, low=2.0, high=2.0, clips=3, failed=1)
    whole = [*clips([1.0]), Clip(name="x", failure="cannot read x: it is empty")]
    assert summarise(whole, ["m", "other"]) == {
        "m": Mean(mean=1.0, low=None, high=None, clips=1, failed=1),
        "other": Mean(mean=None, low=None, high=None, clips=0, failed=2),
    }
