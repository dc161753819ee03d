"""The plots of `RESULTS.md`, small PNG files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .codec_tables import REFERENCE, difference, mean_score
from .methods import TITLES
from .variants import Result, Results, chosen, methods_of

_SIZE = (6.4, 3.6)
_DPI = 90


def draw(results: Results, folder: Path) -> None:
    """Write each plot for which there are runs."""
    codecs = [run for run in results["codec"] if run["run"]["method"] != "start"]
    residual = [run for run in codecs if run["run"]["setting"] == "residual"]
    random = [run for run in codecs if run["run"]["start"] == "random"]
    for name, runs, plot in (
        ("codec_quality", residual, _quality),
        ("codec_differences", residual, _differences),
        ("codec_perplexity", residual, _perplexity),
        ("codec_random", random, _use),
    ):
        if runs:
            _save(folder / f"{name}.png", lambda axes, runs=runs, plot=plot: plot(axes, runs))


def _save(path: Path, plot: Callable[[Any], None]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    plot(axes)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)


def _means(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """The mean over runs of each column; None where no run has a value."""
    found = [[value for value in column if value is not None] for column in columns]
    return [statistics.fmean(column) if column else None for column in found]


def _over_training(
    axes: Any, runs: Sequence[Result], figure: Callable[[Result], Sequence[float | None]]
) -> None:
    for method in methods_of(runs):
        mine = chosen(runs, method=method)
        curve = _means(list(zip(*(figure(run) for run in mine), strict=True)))
        axes.plot(mine[0]["history"]["step"], curve, label=TITLES[method], **_line(method))
    axes.set_xlabel("step")


def _line(method: str) -> dict[str, Any]:
    """Our methods have whole lines, the others dashed ones."""
    return {
        "linestyle": "-" if "DiVeQ" in TITLES[method] else "--",
        "marker": ".",
        "linewidth": 1.2,
    }


def _perplexity(axes: Any, runs: Sequence[Result]) -> None:
    _over_training(axes, runs, lambda run: _means(run["history"]["perplexity"]))
    axes.set_ylabel("perplexity, mean of the stages")


def _use(axes: Any, runs: Sequence[Result]) -> None:
    """Codewords in use over the training of codecs with one codebook."""
    _over_training(axes, runs, lambda run: [100 * used[0] for used in run["history"]["used"]])
    axes.set_ylabel("codewords used in 50 steps, %")


def _quality(axes: Any, runs: Sequence[Result]) -> None:
    """PESQ of decoded files over the bits that they take."""
    for method in methods_of(runs):
        mine = chosen(runs, method=method)
        counts = [row["stages"] for row in mine[0]["rows"]]
        rates, scores = (
            _means([[mean_score(run, count, measure) for run in mine] for count in counts])
            for measure in ("kbps", "pesq_wb")
        )
        axes.plot(rates, scores, label=TITLES[method], **_line(method))
    axes.set(xlabel="kbps", ylabel="PESQ")


def _differences(axes: Any, runs: Sequence[Result]) -> None:
    """PESQ less that of DiVeQ at each number of stages, with intervals."""
    reference = chosen(runs, method=REFERENCE)
    methods = [method for method in methods_of(runs) if method != REFERENCE]
    counts = [row["stages"] for row in runs[0]["rows"]]
    for place, count in enumerate(counts):
        found = [
            difference(chosen(runs, method=method), reference, count, "pesq_wb")
            for method in methods
        ]
        heights = [number + 0.2 * (place - (len(counts) - 1) / 2) for number in range(len(methods))]
        means = [math.nan if interval is None else interval.mean for interval in found]
        widths = [math.nan if interval is None else interval.half_width for interval in found]
        axes.errorbar(
            means, heights, xerr=widths, fmt="o", markersize=4, capsize=2, label=f"{count} stages"
        )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(methods)), [TITLES[method] for method in methods], fontsize=7)
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel("PESQ less that of DiVeQ")
