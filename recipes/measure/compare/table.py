"""An evaluation as a Markdown table: a line per system."""

from __future__ import annotations

from codec.evaluation.result import Evaluation, Mean

from ...markdown import table


def as_markdown(evaluation: Evaluation) -> str:
    """Means over the clips that have a value; how many failed stands in brackets."""
    titles = [evaluation.metric(name).title for name in evaluation.metrics]
    heads = ["system", "kbps", *titles, "encode x", "decode x", "note"]
    rows = []
    for system in evaluation.systems:
        scores = [_mean(system.means[name]) for name in evaluation.metrics]
        rate = _number(system.kbps, 2)
        speeds = [_number(speed, 1) for speed in (system.encode_speed, system.decode_speed)]
        rows.append([system.name, rate, *scores, *speeds, system.note])
    return table(heads, rows)


def _mean(mean: Mean) -> str:
    if mean.mean is None:
        return "-"
    return f"{mean.mean:.3f}" + (f" ({mean.failed} failed)" if mean.failed else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
