"""The figures and the table of README, made of `checkpoints/results.json`.

python -m recipes.first_page

It writes docs/codec-{light,dark}.svg and docs/quality-{light,dark}.svg, and the table between
README's markers. With `--evaluation`, made by `recipes.measure.compare`, it first takes from there
the means of systems of the same family and rate.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from codec import ConfigError, atomic_output, read_evaluation

from .markdown import number
from .run_script import run_script

__all__ = ["diagram", "quality_chart", "results_table"]

ROOT = Path(__file__).parents[1]
METRICS = {
    "distillmos": "DistillMOS",
    "dnsmos_p808": "DNSMOS P.808",
    "pesq_wb": "PESQ-WB",
    "estoi": "ESTOI",
    "visqol": "ViSQOL",
}
CHARTED = ("distillmos", "pesq_wb")
TABLED = ("distillmos", "dnsmos_p808", "pesq_wb", "estoi")
OURS = "diveq-codec"
_SAME_RATE = 0.1  # kbps
_START, _END = "<!-- results -->\n", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure: of text, of what is less important, of lines, of boxes, and of each
    family.
    """

    name: str
    ink: str
    soft: str
    line: str
    box: str
    families: tuple[str, ...]


LIGHT = Theme(
    "light",
    "#1f2328",
    "#59636e",
    "#d1d9e0",
    "#f6f8fa",
    ("#0969da", "#bc4c00", "#1a7f37", "#8250df"),
)
DARK = Theme(
    "dark", "#f0f6fc", "#9198a1", "#3d444d", "#151b23", ("#4493f8", "#f0883e", "#3fb950", "#ab7df8")
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where results come from."""

    results: Path = ROOT / "checkpoints" / "results.json"
    evaluation: Path | None = None
    """An evaluation whose means replace those in the results first."""
    readme: Path = ROOT / "README.md"
    figures: Path = ROOT / "docs"


def main(arguments: Arguments) -> None:
    results = json.loads(arguments.results.read_text(encoding="utf-8"))
    if arguments.evaluation is not None:
        renew(results, arguments.evaluation)
        _write(arguments.results, _as_json(results))
    arguments.figures.mkdir(exist_ok=True)
    for theme in (LIGHT, DARK):
        _write(arguments.figures / f"codec-{theme.name}.svg", diagram(theme))
        _write(arguments.figures / f"quality-{theme.name}.svg", quality_chart(results, theme))
    readme = arguments.readme.read_text(encoding="utf-8")
    if readme.count(_START) != 1:
        raise ConfigError(
            f"{arguments.readme} has no place for the table: {_START.strip()} … {_END}"
        )
    table = f"{_START}{results_table(results)}{_END}"
    _write(arguments.readme, re.sub(f"{_START}.*?{_END}", lambda _: table, readme, flags=re.DOTALL))


def renew(results: dict[str, Any], path: Path) -> None:
    """Replace the means of systems of the same family at the same rate by those of an
    evaluation.
    """
    evaluation = read_evaluation(path)
    for row in results["systems"]:
        for system in evaluation.systems:
            same_family = row["name"].lower() in system.family.lower()
            if (
                same_family
                and system.kbps is not None
                and abs(system.kbps - row["kbps"]) < _SAME_RATE
            ):
                means = {name: system.means[name].mean for name in METRICS if name in system.means}
                row |= {name: round(mean, 3) for name, mean in means.items() if mean is not None}
                row["kbps"] = round(system.kbps, 2)


def results_table(results: dict[str, Any]) -> str:
    """Markdown: a row for each system that is to be in the table."""
    heads = ["codec", "kbps", *(METRICS[name] for name in TABLED), "M weights", "encode", "decode"]
    rows = [_row(row) for row in results["systems"] if row.get("in_table")]
    original = [
        "*the original*",
        "",
        *(number(results["original"].get(name), 2) for name in TABLED),
        "",
        "",
        "",
    ]
    lines = [heads, ["---"] * len(heads), *rows, original]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(system: dict[str, Any]) -> list[str]:
    scores = [number(system.get(name), 2) for name in TABLED]
    speeds = [number(system.get(name), 0) for name in ("encode", "decode")]
    return [
        system["name"],
        f"{system['kbps']:.1f}",
        *scores,
        number(system.get("weights_millions"), 1),
        *speeds,
    ]


def quality_chart(results: dict[str, Any], theme: Theme) -> str:
    """SVG: a panel for each metric of `CHARTED`, over the bitrate."""
    panels = [
        _panel(results, name, theme, left=20 + 440 * index) for index, name in enumerate(CHARTED)
    ]
    return _svg(880, 320, theme, "Quality over bitrate, diveq-codec beside Opus and Lyra", panels)


def _panel(results: dict[str, Any], metric: str, theme: Theme, *, left: float) -> str:
    """One metric over a logarithmic axis of bitrates."""
    right, top, bottom = left + 405, 44.0, 262.0
    rows = [row for row in results["systems"] if metric in row]
    rates = [row["kbps"] for row in rows]
    low, high = min(rates) / 1.12, max(rates) * 1.12
    floor, ceiling = math.floor(min(row[metric] for row in rows) * 2) / 2, 4.5

    def x(kbps: float) -> float:
        return left + 30 + (right - left - 30) * math.log(kbps / low) / math.log(high / low)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - floor) / (ceiling - floor)

    parts = [_text(left, 24, METRICS[metric], theme.ink, size=15, weight=600)]
    for step in range(round((ceiling - floor) * 2) + 1):
        value = floor + step / 2
        parts.append(_path(f"M{left + 30:g} {y(value):.1f}H{right:g}", theme.line))
        parts.append(_text(left + 22, y(value) + 4, f"{value:.1f}", theme.soft, anchor="end"))
    for kbps in (1, 1.5, 2, 3, 4, 6, 8, 12, 16):
        if low <= kbps <= high:
            parts.append(_path(f"M{x(kbps):.1f} {bottom:g}v5", theme.soft))
            parts.append(_text(x(kbps), bottom + 20, f"{kbps:g}", theme.soft, anchor="middle"))
    parts.append(
        _text(
            (left + 30 + right) / 2, bottom + 42, "kbps (logarithmic)", theme.soft, anchor="middle"
        )
    )
    original = results["original"].get(metric)
    if original is not None:
        parts.append(_path(f"M{left + 30:g} {y(original):.1f}H{right:g}", theme.soft, dash="5 4"))
        parts.append(_text(left + 36, y(original) - 6, "the original", theme.soft))
    families = list(dict.fromkeys(row["family"] for row in rows))
    for colour, family in zip(theme.families, families, strict=False):
        points = sorted((x(row["kbps"]), y(row[metric])) for row in rows if row["family"] == family)
        parts.append(_curve(points, family, colour))
    return "".join(parts)


def _curve(points: Sequence[tuple[float, float]], family: str, colour: str) -> str:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points)
    is_ours = family == OURS
    x, y = points[-1]
    label = _text(
        x,
        y + (22 if is_ours else -12),
        family,
        colour,
        weight=600 if is_ours else 400,
        anchor="end",
    )
    return _path(f"M{line}", colour, width=3 if is_ours else 2) + dots + label


ENCODING = (
    ("speech", "any rate"),
    ("MDCT", "20 ms"),
    ("encoder", "ConvNeXt"),
    ("DiVeQ stages", "residual"),
    ("rate allocation", "loud: more stages"),
    ("range coder", "integer tables"),
)
DECODING = (
    ("speech", "same length"),
    ("inverse MDCT", "overlap-add"),
    ("decoder", "ConvNeXt"),
    ("codebooks", "look-up"),
    ("range decoder", "checksums"),
)


def diagram(theme: Theme) -> str:
    """SVG: from speech to a file in the upper row, and back in the lower one."""
    accent = theme.families[0]
    width, gap = 122.0, 18.0
    parts: list[str] = []
    for row, boxes in enumerate((ENCODING, DECODING)):
        y = 16.0 + 92 * row
        for index, (title, note) in enumerate(boxes):
            x = 10 + index * (width + gap)
            parts.append(
                _box(
                    x,
                    y,
                    width,
                    title,
                    note,
                    theme,
                    accent if title == "DiVeQ stages" else theme.line,
                )
            )
            if index:
                ends = (x - gap + 2, x - 3) if row == 0 else (x - 3, x - gap + 2)
                parts.append(_arrow(ends[0], ends[1], y + 28, theme))
    x = 10 + 5 * (width + gap)
    parts.append(_box(x, 108, width, ".dvq file", "or packets", theme, accent))
    parts.append(_arrow(x - 3, x - gap + 2, 136, theme))
    middle = x + width / 2
    parts.append(_path(f"M{middle:g} 72V100", theme.soft, width=1.5))
    parts.append(
        f'<path d="M{middle - 4:g} 98L{middle:g} 106L{middle + 4:g} 98Z" fill="{theme.soft}"/>'
    )
    return _svg(
        854,
        180,
        theme,
        "Block diagram: speech, MDCT, encoder, DiVeQ stages, range coder, file, and back",
        parts,
    )


def _box(x: float, y: float, width: float, title: str, note: str, theme: Theme, edge: str) -> str:
    box = (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="56" rx="8" fill="{theme.box}" '
        f'stroke="{edge}"/>'
    )
    middle = x + width / 2
    return (
        box
        + _text(middle, y + 25, title, theme.ink, anchor="middle", weight=600)
        + _text(middle, y + 43, note, theme.soft, anchor="middle", size=11)
    )


def _arrow(start: float, end: float, y: float, theme: Theme) -> str:
    back = -6 if end > start else 6
    head = (
        f'<path d="M{end + back:g} {y - 4:g}L{end:g} {y:g}L{end + back:g} {y + 4:g}Z" '
        f'fill="{theme.soft}"/>'
    )
    return _path(f"M{start:g} {y:g}H{end + back:g}", theme.soft, width=1.5) + head


def _svg(width: int, height: int, theme: Theme, title: str, parts: Iterable[str]) -> str:
    font = "-apple-system,BlinkMacSystemFont,Segoe UI,Helvetica,Arial,sans-serif"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"'
    )
    return (
        f'{head} font-family="{font}" '
        f'role="img"><title>{escape(title)}</title>{"".join(parts)}</svg>\n'
    )


def _path(d: str, colour: str, *, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def _text(
    x: float,
    y: float,
    text: str,
    colour: str,
    *,
    anchor: str = "start",
    size: int = 13,
    weight: int = 400,
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return (
        f'<text {place} fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _as_json(results: dict[str, Any]) -> str:
    """A line for each system, so that changes can be read."""
    rows = ",\n".join(f"    {json.dumps(row)}" for row in results["systems"])
    rest = {key: value for key, value in results.items() if key != "systems"}
    head = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in rest.items())
    return f'{{\n{head}  "systems": [\n{rows}\n  ]\n}}\n'


def _write(path: Path, text: str) -> None:
    with atomic_output(path, overwrite=True) as file:
        file.write(text.encode())
    print(path)


if __name__ == "__main__":
    run_script(main, Arguments)
