"""What the tables and plots of `RESULTS.md` share: runs by their settings, means ± standard
deviations over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

from ...markdown import table
from .baselines import COMMITMENT
from .methods import METHODS, TITLES

Result = dict[str, Any]
Results = dict[str, list[Result]]  # by question

markdown = partial(table, are_numbers=True)


def spread_of(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds; runs whose figure is not finite have failed."""
    found = [value for value in values if value is not None]
    if not found:
        return "failed" if values else "not run"
    text = f"{statistics.fmean(found):.{digits}f}"
    if len(found) > 1:
        text += f" ± {statistics.stdev(found):.{digits}f}"
    return text if len(found) == len(values) else f"{text} ({len(values) - len(found)} failed)"


def chosen(results: Sequence[Result], **fields: Any) -> list[Result]:
    """The runs with these settings."""
    return [
        result
        for result in results
        if all(result["run"][name] == value for name, value in fields.items())
    ]


def methods_of(results: Sequence[Result]) -> list[str]:
    """Those that were run, in the order of the study."""
    return [method for method in METHODS if chosen(results, method=method)]


def variants(runs: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Runs by method and weight of the commitment loss, which is said where it is not the usual
    one.
    """
    groups = []
    for method in methods_of(runs):
        for weight in sorted(
            {run["run"]["commitment"] for run in chosen(runs, method=method)}, reverse=True
        ):
            title = TITLES[method] + ("" if weight == COMMITMENT else f", weight {weight:g}")
            groups.append((title, chosen(runs, method=method, commitment=weight)))
    return groups
