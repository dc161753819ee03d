"""An evaluation as Markdown tables: a line per system, metrics of frequency bands by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codec.evaluation.result import Evaluation, Mean
from codec.metrics import BAND_METRICS

from ...markdown import number, score, table


def as_markdown(evaluation: Evaluation) -> str:
    """Means over the clips that have a value; how many failed stands in brackets."""
    overall = [name for name in evaluation.metrics if name not in BAND_METRICS]
    bands = [name for name in evaluation.metrics if name in BAND_METRICS]
    heads = ["system", "kbps", *_titles(evaluation, overall), "encode x", "decode x", "note"]
    rows = [_scores("original", None, evaluation.original_means, overall)] * bool(
        evaluation.original_means
    )
    for system in evaluation.systems:
        speeds = [number(speed, 1) for speed in (system.encode_speed, system.decode_speed)]
        rows.append(
            [*_scores(system.name, system.kbps, system.means, overall), *speeds, system.note]
        )
    rows = [[*row, *[""] * (len(heads) - len(row))] for row in rows]
    if not bands:
        return table(heads, rows)
    of_bands = [
        _scores(system.name, system.kbps, system.means, bands) for system in evaluation.systems
    ]
    of_bands = table(["system", "kbps", *_titles(evaluation, bands)], of_bands)
    return f"{table(heads, rows)}\n\n{of_bands}"


def _titles(evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    return [evaluation.metric(name).title for name in names]


def _scores(
    system: str, kbps: float | None, means: Mapping[str, Mean], names: Sequence[str]
) -> list[str]:
    return [system, number(kbps, 2), *(score(means.get(name), 3) for name in names)]
