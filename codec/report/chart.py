"""A rate–quality chart as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..evaluation.result import Evaluation
from .curves import AxisScale, Curve, CurvePoint, curves_of, kbps_scale, quality_scale
from .figures import metric_decimals, value
from .labels import place_labels
from .markup import Markup, join, tag

__all__ = ["NARROW", "STYLES", "WIDE", "ChartSize", "chart", "swatch"]

STYLES = 6
"""As many colours as the style sheet has, each with its own marker."""
_MARKERS = (
    "M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z",  # disc
    "M-4.5-4.5H4.5V4.5H-4.5Z",  # square
    "M0-6L5.5 4.5H-5.5Z",  # triangle
    "M0-6L6 0L0 6L-6 0Z",  # diamond
    "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z",  # cross
    "M0 6L5.5-4.5H-5.5Z",  # triangle upside down
)
_CAP = 3
_STEP = 4.0  # pixels between the positions that labels keep clear of


@dataclass(frozen=True, slots=True)
class ChartSize:
    """The size of a chart in pixels, and of its margins; `labelled` ones have the curves' names in
    them.
    """

    name: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    labelled: bool


WIDE = ChartSize("wide", 900, 420, left=56, right=110, top=14, bottom=46, labelled=True)
NARROW = ChartSize("narrow", 300, 260, left=40, right=10, top=12, bottom=44, labelled=False)


def chart(evaluation: Evaluation, metric: str, size: ChartSize) -> Markup:
    """Draw the mean of each system over its rate, with intervals; systems of a family are joined.

    Raises:
        ValueError: No system has both a rate and a mean.
    """
    curves = curves_of(evaluation, metric)
    if not curves:
        raise ValueError(f"no system has a rate and a mean of {metric}")
    x = kbps_scale(curves, size.left, size.width - size.right)
    y = quality_scale(curves, size.height - size.bottom, size.top)
    title = evaluation.metric(metric).title
    return tag(
        "svg",
        _grid(x, y, size),
        *(_curve(evaluation, metric, curve, x, y) for curve in curves),
        _labels(curves, x, y, size) if size.labelled else None,
        viewBox=f"0 0 {size.width} {size.height}",
        width=size.width,
        height=size.height,
        class_=f"chart {size.name}",
        role="img",
        aria_label=f"{title} over the bitrate; the table of all systems has the same numbers",
    )


def swatch(style: int) -> Markup:
    """Draw a curve's line and marker for a legend."""
    line = tag("path", d="M0 8H26", class_="line")
    marker = tag("path", d=_marker(style), transform="translate(13 8)", class_="marker")
    return tag(
        "svg",
        line,
        marker,
        viewBox="0 0 26 16",
        width=26,
        height=16,
        class_=_style(style),
        aria_hidden="true",
    )


def _style(style: int) -> str:
    """Return a curve's style; beyond the last colour they repeat with dashed lines and other
    markers.
    """
    return f"series s{style % STYLES}{' dashed' if style >= STYLES else ''}"


def _marker(style: int) -> str:
    return _MARKERS[(style + style // STYLES) % STYLES]


def _grid(x: AxisScale, y: AxisScale, size: ChartSize) -> Markup:
    bottom, right = size.height - size.bottom, size.width - size.right
    parts: list[Markup] = []
    for tick in y.ticks:
        at = f"{y(tick):.1f}"
        parts += [
            tag("path", d=f"M{size.left} {at}H{right}", class_="grid"),
            tag(
                "text", value(tick, _tick_decimals(y.ticks)), x=size.left - 8, y=at, class_="tick y"
            ),
        ]
    for tick in x.ticks:
        at = f"{x(tick):.1f}"
        parts += [
            tag("path", d=f"M{at} {bottom}v5", class_="axis"),
            tag("text", f"{tick:g}", x=at, y=bottom + 19, class_="tick x"),
        ]
    parts += [
        tag("path", d=f"M{size.left} {bottom}H{right}", class_="axis"),
        tag(
            "text",
            "kbps, logarithmic",
            x=(size.left + right) / 2,
            y=size.height - 6,
            class_="tick x",
        ),
    ]
    return tag("g", *parts, aria_hidden="true")


def _tick_decimals(ticks: tuple[float, ...]) -> int:
    """Return the fewest decimals that show the ticks exactly."""
    return next(
        (
            count
            for count in range(9)
            if all(math.isclose(round(t, count), t, abs_tol=1e-9) for t in ticks)
        ),
        9,
    )


def _curve(evaluation: Evaluation, metric: str, curve: Curve, x: AxisScale, y: AxisScale) -> Markup:
    line = "L".join(f"{x(point.kbps):.1f} {y(point.mean):.1f}" for point in curve.points)
    points = (_point(evaluation, metric, curve, point, x, y) for point in curve.points)
    return tag("g", tag("path", d=f"M{line}", class_="line"), *points, class_=_style(curve.style))


def _point(
    evaluation: Evaluation, metric: str, curve: Curve, point: CurvePoint, x: AxisScale, y: AxisScale
) -> Markup:
    decimals = metric_decimals(evaluation, metric)
    at, low, high = x(point.kbps), y(point.low), y(point.high)
    caps = f"M{at - _CAP:.1f} {low:.1f}h{2 * _CAP}M{at - _CAP:.1f} {high:.1f}h{2 * _CAP}"
    words = (
        f"{evaluation.systems[point.system].name}: {value(point.mean, decimals)} at "
        f"{point.kbps:.2f} kbps"
    )
    if point.low != point.high:
        words += f" (95 % interval {value(point.low, decimals)} to {value(point.high, decimals)})"
    return tag(
        "g",
        tag("title", words),
        tag("path", d=f"M{at:.1f} {low:.1f}V{high:.1f}{caps}", class_="interval"),
        tag(
            "path",
            d=_marker(curve.style),
            transform=f"translate({at:.1f} {y(point.mean):.1f})",
            class_="marker",
        ),
    )


def _labels(curves: tuple[Curve, ...], x: AxisScale, y: AxisScale, size: ChartSize) -> Markup:
    texts = [_shortened(curve.family) for curve in curves]
    ends = [(x(curve.points[-1].kbps), y(curve.points[-1].mean)) for curve in curves]
    obstacles = [position for curve in curves for position in _inked(curve, x, y)]
    boxes = place_labels(texts, ends, obstacles, size.left, size.width, size.height - size.bottom)
    return join(
        tag(
            "text",
            text,
            x=f"{box.left:.1f}",
            y=f"{box.middle:.1f}",
            class_=f"label {_style(curve.style)}",
        )
        for text, box, curve in zip(texts, boxes, curves, strict=True)
    )


def _shortened(text: str, most: int = 22) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _inked(curve: Curve, x: AxisScale, y: AxisScale) -> Iterator[tuple[float, float]]:
    """List positions along the line and the intervals, which labels should not cover."""
    at = [(x(point.kbps), y(point.mean)) for point in curve.points]
    for (x0, y0), (x1, y1) in pairwise(at):
        steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / _STEP))
        yield from ((x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps))
    for point in curve.points:
        top, bottom = sorted((y(point.low), y(point.high)))
        yield from (
            (x(point.kbps), top + _STEP * i) for i in range(1 + int((bottom - top) / _STEP))
        )
