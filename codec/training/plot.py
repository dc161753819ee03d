"""Plots a run against the time trained: losses, rates, codebooks, and scores on held-out clips.

python -m codec.training.plot runs/mine/metrics.jsonl curves.png
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DiveqCodecError
from ..files.output import atomic_output, refuse_existing
from .logs import METRICS, read_metrics

Points = tuple[list[float], list[float]]  # time, value (NaN: none)

_COLUMNS = 4
_PANEL_INCHES = (4.2, 3.1)
_MARGIN_INCHES = (0.6, 0.15, 0.55, 0.3)  # of a panel: left, right, bottom, top
_TITLE_INCHES = 0.4
_DOTS_PER_INCH = 110
_MOST_LABELS = 8
_PLAIN_COLORS = ("#1f5fa8", "#d1652a", "#3a8f4d")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One plot: named curves. `graded` ones are stages, coloured from the first to the last; else
    each has a colour.
    """

    title: str
    curves: dict[str, Points]
    graded: bool = False
    logarithmic: bool = False
    bottom: float | None = None
    top: float | None = None


class History:
    """The records of a run by event, with the time of any step."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        self._events: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            self._events.setdefault(record["event"], []).append(record)
        if not self["train"]:
            raise ConfigError(
                "the file holds no line about training steps yet, so there is nothing to plot"
            )
        self._steps = [record["step"] for record in self["train"]]
        elapsed_s = [record["elapsed_s"] for record in self["train"]]
        self.unit, seconds = ("hours", 3600) if elapsed_s[-1] >= 2 * 3600 else ("minutes", 60)
        self._times = [value / seconds for value in elapsed_s]
        self.last_step = max(
            record["step"] for events in self._events.values() for record in events
        )

    def __getitem__(self, event: str) -> list[dict[str, Any]]:
        return self._events.get(event, [])

    def time(self, step: int) -> float:
        """In `unit`; between the lines of the log by interpolation."""
        return float(np.interp(step, [0, *self._steps], [0.0, *self._times]))

    def curve(self, event: str, *path: str | int) -> Points:
        """A figure over time; `path` leads to it in the event's records, which need not all have
        it.
        """
        found = [(self.time(record["step"]), _look_up(record, path)) for record in self[event]]
        found = [(time, value) for time, value in found if value is not _MISSING]
        return [time for time, _ in found], [
            math.nan if value is None else value for _, value in found
        ]

    def curves(self, event: str, names: dict[str, str]) -> dict[str, Points]:
        """Figures by label, those that the run has."""
        return _with_values({label: self.curve(event, name) for name, label in names.items()})

    def per_stage(self, name: str) -> dict[str, Points]:
        """A figure of each quantizer stage, by the stage's number."""
        most = max((len(record.get(name, ())) for record in self["train"]), default=0)
        return _with_values(
            {f"stage {stage + 1}": self.curve("train", name, stage) for stage in range(most)}
        )

    def scores(self, measure: str) -> dict[str, Points]:
        """A measure at each number of stages, labelled by stages and bitrate."""
        if not self["validation"]:
            return {}
        last = self["validation"][-1]
        counts = sorted(int(name.split("_")[0]) for name in last if name.endswith("_stages"))
        names = {count: f"{count}_stages" for count in counts}
        labels = {
            c: f"{c} stage{'s' * (c > 1)}, {last[name]['kbps']:.1f} kbps"
            for c, name in names.items()
        }
        return _with_values(
            {labels[c]: self.curve("validation", name, measure) for c, name in names.items()}
        )

    def phases(self) -> dict[str, float]:
        """When the quantizer and the discriminators came in."""
        starts = {"quantizer": [record["step"] for record in self["initialise"]]}
        starts["discriminators"] = [
            record["step"] for record in self["train"] if "adversarial" in record
        ]
        return {name: self.time(steps[0]) for name, steps in starts.items() if steps}


_MISSING = object()


def _look_up(record: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        try:
            record = record[key]
        except (KeyError, IndexError):
            return _MISSING
    return record


def _with_values(curves: dict[str, Points]) -> dict[str, Points]:
    return {
        label: points for label, points in curves.items() if not all(map(math.isnan, points[1]))
    }


def panels(history: History) -> list[Panel]:
    """All plots for which the run has figures."""
    spectral = {"mel": "log-mel", "stft": "STFT"}
    game = {
        "adversarial": "generator",
        "discriminator": "discriminators",
        "features": "feature matching",
    }
    norms = {"gradient_norm": "generator", "discriminator_norm": "discriminators"}
    found = [
        Panel(title="PESQ-WB, held-out clips", curves=history.scores("pesq_wb"), graded=True),
        Panel(title="ESTOI, held-out clips", curves=history.scores("estoi"), graded=True),
        Panel(title="Spectral losses", curves=history.curves("train", spectral)),
        Panel(title="Waveform loss", curves=history.curves("train", {"waveform": "L1"}), bottom=0),
        Panel(
            title="Loudness loss",
            curves=history.curves("train", {"loudness": "distance"}),
            bottom=0,
        ),
        Panel(
            title="Periodicity loss",
            curves=history.curves("train", {"periodicity": "distance"}),
            bottom=0,
        ),
        Panel(title="Adversarial losses", curves=history.curves("train", game), bottom=0),
        Panel(
            title="Gradient norms, before clipping",
            curves=history.curves("train", norms),
            logarithmic=True,
        ),
        Panel(
            title="Learning rate",
            curves=history.curves("train", {"learning_rate": "generator"}),
            bottom=0,
        ),
        Panel(
            title="Speed, seconds of audio per second",
            curves=history.curves("train", {"audio_s_per_s": "training"}),
            bottom=0,
        ),
        Panel(
            title="Share of codewords in use",
            curves=history.per_stage("used"),
            graded=True,
            bottom=0,
            top=1.02,
        ),
        Panel(
            title="Perplexity of the codes",
            curves=history.per_stage("perplexity"),
            graded=True,
            bottom=0,
        ),
        Panel(
            title="Quantization error / variance",
            curves=history.per_stage("error"),
            graded=True,
            bottom=0,
        ),
        Panel(
            title="Scale of the latents",
            curves=history.per_stage("scale"),
            graded=True,
            logarithmic=True,
        ),
    ]
    return [panel for panel in found if panel.curves]


def draw(history: History, title: str) -> Any:
    """A matplotlib figure of all panels."""
    from matplotlib.figure import Figure

    shown = panels(history)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1] + _TITLE_INCHES
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)
    figure.suptitle(f"{title}: {history.last_step:,} steps", fontsize=13, y=1 - 0.15 / height)
    # Margins are given, as the search for the least ones takes longer than drawing.
    left, right, bottom, top = _MARGIN_INCHES
    axes_width, axes_height = _PANEL_INCHES[0] - left - right, _PANEL_INCHES[1] - bottom - top
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - (top + _TITLE_INCHES) / height,
        wspace=(left + right) / axes_width,
        hspace=(bottom + top) / axes_height,
    )
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    for place, panel in zip(places, shown, strict=False):
        _draw_panel(place, panel)
        _mark_phases(place, history.phases())
        place.set_xlabel(f"{history.unit} trained", fontsize=9)
        place.set_xlim(0, history.time(history.last_step) or None)
    for place in places[len(shown) :]:
        place.set_axis_off()
    return figure


def _draw_panel(place: Any, panel: Panel) -> None:
    from matplotlib.ticker import LogFormatter

    colors = _grades(len(panel.curves)) if panel.graded else _PLAIN_COLORS
    for (label, (times, values)), color in zip(panel.curves.items(), colors, strict=False):
        marker = "o" if len(times) < 30 else ""
        place.plot(
            times, values, color=color, label=label, linewidth=1.4, marker=marker, markersize=2.5
        )
    if panel.logarithmic:
        place.set_yscale("log")
        for axis_formatter in (place.yaxis.set_major_formatter, place.yaxis.set_minor_formatter):
            axis_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
    place.set_ylim(panel.bottom, panel.top)
    place.set_title(panel.title, fontsize=10, loc="left")
    place.tick_params(labelsize=8, which="both")
    place.grid(color="#e4e4e4", linewidth=0.7)
    place.spines[["top", "right"]].set_visible(False)
    _draw_legend(place, is_graded=panel.graded)


def _draw_legend(place: Any, *, is_graded: bool) -> None:
    """Inside, where it is in the way least; of many graded curves the first and the last alone,
    above the axes.
    """
    handles, labels = place.get_legend_handles_labels()
    if is_graded and len(handles) > _MOST_LABELS:
        place.legend(
            handles[:: len(handles) - 1],
            labels[:: len(labels) - 1],
            ncols=2,
            loc="lower right",
            bbox_to_anchor=(1.02, 0.985),
            frameon=False,
            fontsize=7.5,
            handlelength=1.2,
            columnspacing=1,
        )
    elif len(handles) > 1:
        order = (
            slice(None, None, -1) if is_graded else slice(None)
        )  # the best score on top, as in the picture
        place.legend(handles[order], labels[order], fontsize=7.5, framealpha=0.8)


def _mark_phases(place: Any, phases: dict[str, float]) -> None:
    """A line where a phase begins, named at its foot."""
    for name, time in phases.items():
        place.axvline(time, color="#888888", linewidth=0.8, linestyle=":")
        place.annotate(
            name,
            (time, 0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            rotation=90,
            fontsize=6.5,
            color="#777777",
        )


def _grades(count: int) -> list[Any]:
    """Colours from dark to light, all dark enough for white paper."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.88 * index / max(1, count - 1)) for index in range(count)]


def main(metrics: Path, out: Path, /, force: bool = False) -> None:
    """Plot the curves of a run.

    Args:
        metrics: A run's `metrics.jsonl`, or its folder.
        out: The PNG to write.
        force: Overwrite an existing file.
    """
    refuse_existing(out, overwrite=force)
    path = metrics / METRICS if metrics.is_dir() else metrics
    try:
        records = read_metrics(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {path}: {error}; give a run's {METRICS} or its folder"
        ) from error
    figure = draw(History(records), path.resolve().parent.name)
    with atomic_output(out, overwrite=force) as file:
        figure.savefig(file, format="png")


if __name__ == "__main__":
    import tyro

    try:
        tyro.cli(main, prog="python -m codec.training.plot")
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")
