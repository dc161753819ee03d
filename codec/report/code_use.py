"""Shows how a model's quantizer stages use their codewords, in numbers and pictures."""

from __future__ import annotations

import numpy as np

from ..evaluation.result import StageUse, System
from .figures import value
from .markup import Markup, tag
from .tables import number_cell, table

__all__ = ["code_use"]

_WIDTH, _HEIGHT, _BARS = 256, 72, 128
_TOP = 9  # times equal use


def code_use(system: System) -> Markup | None:
    """A table of a system's stages, and for each a picture; None where they are not known."""
    if not system.stages:
        return None
    titles = ("Bits", "Codewords used", "Entropy (bits)", "Entropy of the bits")
    heads = [
        tag("th", "Stage", scope="col"),
        *(tag("th", title, scope="col", class_="number") for title in titles),
    ]
    rows = [_row(number, stage) for number, stage in enumerate(system.stages, start=1)]
    pictures = (_figure(number, stage) for number, stage in enumerate(system.stages, start=1))
    return tag(
        "details",
        tag("summary", system.name),
        table(f"Stages of {system.name}", heads, rows),
        tag("div", *pictures, class_="pictures"),
    )


def _row(number: int, stage: StageUse) -> Markup:
    return tag(
        "tr",
        tag("th", str(number), scope="row"),
        number_cell(stage.bits, 0),
        _percent_cell(stage.used),
        number_cell(stage.entropy_bits, 2),
        _percent_cell(stage.entropy_bits / stage.bits if stage.bits else 0.0),
    )


def _percent_cell(share: float) -> Markup:
    return tag("td", f"{value(100 * share, 1)} %", class_="number", data_value=repr(share))


def _figure(number: int, stage: StageUse) -> Markup:
    words = (
        f"Stage {number}: {value(100 * stage.used, 1)} % used, {value(stage.entropy_bits, 2)} of "
        f"{stage.bits} bits"
    )
    return tag("figure", _histogram(stage, words), tag("figcaption", words))


def _histogram(stage: StageUse, words: str) -> Markup:
    """Counts from the most to the least used codeword, and the line of equal use: an even stage
    follows the line.
    """
    bars = bar_heights(stage.histogram)
    step = _WIDTH / len(bars)
    outline = "".join(
        f"V{_HEIGHT * (1 - bar):.1f}H{(i + 1) * step:.1f}" for i, bar in enumerate(bars)
    )
    fair = f"{_HEIGHT * (1 - _TOP**-0.5):.1f}"
    return tag(
        "svg",
        tag("path", d=f"M0 {_HEIGHT}{outline}V{_HEIGHT}Z", class_="bars"),
        tag("path", d=f"M0 {fair}H{_WIDTH}", class_="fair"),
        tag("path", d=f"M0 {_HEIGHT}H{_WIDTH}", class_="axis"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=words,
        class_="histogram",
    )


def bar_heights(histogram: tuple[int, ...]) -> list[float]:
    """At most 128 bars of neighbouring ranks, as shares of the picture's height, on a square-root
    scale.

    The top is 9 times equal use, so that equal use is a third of the height in every picture; the
    few codewords that occur more often are cut there.
    """
    counts = np.sort(np.asarray(histogram or (0,), dtype=float))[::-1]
    groups = np.array([group.mean() for group in np.array_split(counts, min(_BARS, len(counts)))])
    top = _TOP * (counts.mean() or 1.0)
    return [float(height) for height in np.sqrt((groups / top).clip(0, 1))]
