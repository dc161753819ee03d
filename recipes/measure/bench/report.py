"""The benchmark's result as one table and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codec import atomic_output

from ...markdown import table
from .candidates import OURS, TimedCodec
from .growth import Point
from .timing import Speed

GOALS = {"EnCodec 24 kHz": 4.0, "DAC 16 kHz": 15.0}
"""How many times as fast as these the default preset is meant to be, in both directions."""


def speed_table(candidates: Sequence[TimedCodec], speeds: Sequence[Speed]) -> str:
    """Markdown: a line per codec, and its speeds at each length."""
    lengths = sorted({speed.seconds for speed in speeds})
    by_name = {(speed.name, speed.seconds): speed for speed in speeds}
    heads = ["codec", "coded at", "M weights", "G multiply-adds/s: encode", "decode"]
    heads += [
        f"{verb} {length:g} s, x real time" for length in lengths for verb in ("encode", "decode")
    ]
    rows = []
    for candidate in candidates:
        cells = [candidate.name, candidate.note, f"{candidate.parameters / 1e6:.1f}"]
        cells += [f"{candidate.encode_work / 1e9:.2f}", f"{candidate.decode_work / 1e9:.2f}"]
        for length in lengths:
            speed = by_name[candidate.name, length]
            cells += [f"{speed.encode:.1f}", f"{speed.decode:.1f}"]
        rows.append(cells)
    return table(heads, rows)


def write(path: Path, content: bytes) -> None:
    """Write a result file, whole or not at all, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, overwrite=True) as file:
        file.write(content)


def ratios(speeds: Sequence[Speed]) -> Iterator[dict[str, Any]]:
    """How many times as fast each of ours is as each peer, at each length."""
    for ours in speeds:
        for peer in speeds:
            if (
                ours.name.startswith(OURS)
                and not peer.name.startswith(OURS)
                and ours.seconds == peer.seconds
            ):
                yield {
                    "ours": ours.name,
                    "peer": peer.name,
                    "seconds": ours.seconds,
                    "encode": ours.encode / peer.encode,
                    "decode": ours.decode / peer.decode,
                    "goal": GOALS.get(peer.name),
                }


def ratio_lines(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The ratios for people."""
    for ratio in found:
        goal = f" (goal {ratio['goal']:g})" if ratio["goal"] else ""
        yield (
            f"{ratio['ours']} is {ratio['encode']:.1f} and {ratio['decode']:.1f} times as fast as "
            f"{ratio['peer']} "
            f"to encode and decode {ratio['seconds']:g} s{goal}"
        )


def floor_lines(
    candidates: Sequence[TimedCodec], speeds: Sequence[Speed], machine_rate: float
) -> Iterator[str]:
    """How near each codec comes to doing nothing but multiply-adds, at the rate of large matrix
    products.
    """
    yield f"large matrix products: {machine_rate / 1e9:.1f} G multiply-adds a second"
    longest = max(speed.seconds for speed in speeds)
    for candidate in candidates:
        speed = next(
            speed for speed in speeds if (speed.name, speed.seconds) == (candidate.name, longest)
        )
        encode = candidate.encode_work * speed.encode / machine_rate
        decode = candidate.decode_work * speed.decode / machine_rate
        yield f"{candidate.name}: {encode:.0%} of that to encode, {decode:.0%} to decode"


def share_lines(title: str, shares: dict[str, float]) -> Iterator[str]:
    """Percentages, a line each."""
    yield title
    for name, share in shares.items():
        yield f"  {share:6.1%}  {name}"


def growth_table(points: Sequence[Point]) -> str:
    """Markdown: a line per point."""
    heads = ["varied", "audio s", "stages", "threads", "channels"]
    heads += [
        f"{verb} {figure}" for verb in ("encode", "decode") for figure in ("x real time", "peak MB")
    ]
    rows = []
    for point in points:
        setting = point.setting
        cells = [
            point.axis,
            f"{setting.seconds:g}",
            *map(str, (setting.stages, setting.threads, setting.channels)),
        ]
        for cost in (point.encode, point.decode):
            cells += [
                f"{setting.seconds * setting.channels / cost.elapsed_s:.1f}",
                f"{cost.peak_mb:.0f}",
            ]
        rows.append(cells)
    return table(heads, rows)


def draw_growth(points: Sequence[Point], title: str) -> Any:
    """A matplotlib figure: time above, peak memory below, a column per axis."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(point.axis for point in points))
    figure = Figure(figsize=(3.4 * len(axes), 6), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=12)
    places = figure.subplots(2, len(axes), squeeze=False)
    for column, axis in enumerate(axes):
        chosen = [point for point in points if point.axis == axis]
        _draw_axis(places[0][column], chosen, axis, "elapsed_s", "seconds")
        _draw_axis(places[1][column], chosen, axis, "peak_mb", "peak memory, MB")
    return figure


def _draw_axis(place: Any, points: Sequence[Point], axis: str, figure: str, label: str) -> None:
    values = [getattr(point.setting, axis) for point in points]
    costs = {
        verb: [getattr(getattr(point, verb), figure) for point in points]
        for verb in ("encode", "decode")
    }
    for (verb, found), color in zip(costs.items(), ("#1f5fa8", "#d1652a"), strict=True):
        place.plot(values, found, color=color, label=verb, marker="o", markersize=3)
    if axis == "seconds":
        place.set_xscale("log")
    else:
        place.set_xticks(values)
    if axis == "seconds" and figure == "elapsed_s":
        place.set_yscale("log")
    else:
        place.set_ylim(0, 1.15 * max(map(max, costs.values())))
    place.set_xlabel("seconds of audio" if axis == "seconds" else axis, fontsize=9)
    place.set_ylabel(label, fontsize=9)
    place.grid(color="#e4e4e4", linewidth=0.7)
    place.spines[["top", "right"]].set_visible(False)
    place.legend(fontsize=8, frameon=False, loc="best")
