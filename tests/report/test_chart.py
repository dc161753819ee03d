"""Charts: what is drawn, measured in the picture against its own ticks."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from report.evaluations import make_evaluation
from report.reading import Element, parse

from codec.evaluation.result import Mean
from codec.report.chart import NARROW, WIDE, chart
from codec.report.figures import ticks
from codec.report.labels import place_labels

SIZES = [WIDE, NARROW]


def axis(picture: Element, kind: str, at: str):
    """From pixels to values, fitted to the ticks."""
    marks = [
        tick
        for tick in picture.all("text", class_="tick")
        if kind in tick.attributes["class"].split()
    ]
    pairs = [
        (float(mark.attributes[at]), float(mark.text.replace("\N{MINUS SIGN}", "-")))
        for mark in marks
        if mark.text != "kbps, logarithmic"
    ]
    pixels, values = np.array(pairs).T
    assert len(pairs) >= 2
    slope, offset = np.polyfit(pixels, np.log(values) if kind == "x" else values, 1)
    return (
        (lambda pixel: math.exp(slope * pixel + offset))
        if kind == "x"
        else (lambda pixel: slope * pixel + offset)
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
@pytest.mark.parametrize("metric", ["pesq_wb", "si_sdr", "mel_distance"])
def test_points_and_intervals_lie_where_the_axes_say(tmp_path, metric, size):
    evaluation = make_evaluation(tmp_path, recorded=False)
    picture = parse(chart(evaluation, metric, size))
    kbps, quality = axis(picture, "x", "x"), axis(picture, "y", "y")
    drawn = [group for series in picture.all("g", class_="series") for group in series.all("g")]
    assert len(drawn) == len(evaluation.systems)
    for group, system in zip(drawn, evaluation.systems, strict=True):
        mean = system.means[metric]
        interval, marker = group.all("path")
        x, y = map(float, re.findall(r"[\d.]+", marker.attributes["transform"]))  # pyright: ignore[reportCallIssue]
        at, low, high = map(
            float,
            re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)", interval.attributes["d"]).groups(),  # pyright: ignore[reportCallIssue]
        )
        tolerance = abs(quality(1) - quality(0))  # one pixel
        assert kbps(x) == pytest.approx(system.kbps, rel=0.02)
        assert at == x
        assert quality(y) == pytest.approx(mean.mean, abs=tolerance)
        assert (quality(low), quality(high)) == pytest.approx((mean.low, mean.high), abs=tolerance)
        assert 0 < x < size.width
        assert 0 < y < size.height


def test_families_are_joined_in_the_order_of_their_rates(tmp_path):
    evaluation = make_evaluation(tmp_path, recorded=False)
    backwards = dataclasses.replace(evaluation, systems=evaluation.systems[::-1])
    picture = parse(chart(backwards, "pesq_wb", WIDE))
    lines = [line.attributes["d"].count("L") for line in picture.all("path", class_="line")]
    assert lines == [0, 1]  # Lonely, then the two points of Tone
    (tone,) = (
        line.attributes["d"]
        for line in picture.all("path", class_="line")
        if "L" in line.attributes["d"]
    )
    first, second = (float(point.split()[0]) for point in tone.removeprefix("M").split("L"))
    assert first < second
    assert [label.text for label in picture.all("text", class_="label")] == ["Lonely", "Tone"]


def test_a_single_clip_has_no_interval(tmp_path):
    evaluation = make_evaluation(tmp_path, systems=1, recorded=False)
    means = evaluation.systems[0].means | {
        "pesq_wb": Mean(mean=2.0, low=None, high=None, clips=1, failed=0)
    }
    lone = dataclasses.replace(
        evaluation, systems=(dataclasses.replace(evaluation.systems[0], means=means),)
    )
    title = parse(chart(lone, "pesq_wb", WIDE)).one("title")
    assert title.text == "Tone 0: 2.00 at 1.00 kbps"


def test_nothing_to_draw_is_an_error(tmp_path):
    evaluation = make_evaluation(tmp_path, recorded=False)
    unknown = tuple(dataclasses.replace(system, kbps=None) for system in evaluation.systems)
    with pytest.raises(ValueError, match="no system has a rate and a mean of pesq_wb"):
        chart(dataclasses.replace(evaluation, systems=unknown), "pesq_wb", WIDE)


def test_labels_keep_clear_of_each_other_and_of_the_edge():
    ends = [(600.0, 100.0), (602.0, 103.0), (598.0, 96.0), (700.0, 100.0)]
    boxes = place_labels(["First", "Second", "Third", "A long one"], ends, [], 50, 720, 380)
    assert not any(one.meets(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(box.left >= 0 and box.left + box.width <= 720 for box in boxes)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        *((0, 1), (1.02, 1.03), (-23.9, 12.8), (1e-7, 3e-7), (900, 1_000_000)),
        *((4.1, 4.1), (0, 0), (0, 1e-12), (0.7 - 2e-16, 0.7), (1e6, 1e6 + 1e-6)),
    ],
)
def test_ticks_are_few_even_and_cover_the_range(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 9
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= high - 1e-9 * max(1, abs(high))
    assert min(np.diff(marks)) > 0
    assert np.ptp(np.diff(marks)) <= 1e-9 * max(1, abs(high))
