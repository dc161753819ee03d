"""The tables of whole codecs in `RESULTS.md`, settings 1 and 2."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from .intervals import Interval, crossed_interval
from .methods import TITLES
from .variants import Result, Results, chosen, markdown, spread_of, variants

REFERENCE = "diveq"
_SHORT = {"pesq_wb": "PESQ", "stoi": "STOI", "mel_distance": "mel", "si_sdr": "SI-SDR, dB"}
_DIGITS = {"pesq_wb": 3, "stoi": 3, "mel_distance": 3, "si_sdr": 2, "kbps": 3}


def row_of(run: Result, stages: int) -> dict[str, Any]:
    """The scores of a run at a number of stages."""
    (row,) = (row for row in run["rows"] if row["stages"] == stages)
    return row


def mean_score(run: Result, stages: int, measure: str) -> float | None:
    """The mean over the clips that have a value, or the rate."""
    return _mean_of(row_of(run, stages), measure)


def _mean_of(row: dict[str, Any], measure: str) -> float | None:
    if measure == "kbps":
        return row["kbps"]
    found = [value for value in row["clips"][measure] if value is not None]
    return statistics.fmean(found) if found else None


def difference(
    runs: Sequence[Result], reference: Sequence[Result], stages: int, measure: str
) -> Interval | None:
    """To another method with the same seeds, on the same clips; None with fewer than two seeds in
    common.
    """
    theirs = {run["run"]["seed"]: row_of(run, stages)["clips"][measure] for run in reference}
    pairs = [
        (row_of(run, stages)["clips"][measure], theirs[run["run"]["seed"]])
        for run in runs
        if run["run"]["seed"] in theirs
    ]
    if len(pairs) < 2:
        return None
    whole = [
        clip
        for clip in zip(*(column for pair in pairs for column in pair), strict=True)
        if None not in clip
    ]
    table = [
        [clip[2 * place] - clip[2 * place + 1] for clip in whole] for place in range(len(pairs))
    ]
    return crossed_interval(table)


def _cell(interval: Interval | None) -> str:
    """Bold where the interval leaves 0 out."""
    if interval is None:
        return ""
    return f"**{interval}**" if interval.is_clear else str(interval)


def _of(results: Results, setting: str, start: str = "kmeans") -> list[Result]:
    return chosen(results["codec"], setting=setting, start=start)


def _with_budget(table: str, runs: Sequence[Result]) -> str:
    """The table, and under it how much was run for it."""
    trained = [run for run in runs if run["run"]["method"] != "start"]
    seeds = len({run["run"]["seed"] for run in trained})
    sizes = {
        f"{run['run']['steps']} steps of {run['budget']['batch']} crops of "
        f"{run['budget']['seconds']:g} s, rate "
        f"{run['budget']['learning_rate']:g}; {_measured(run['budget'])}"
        for run in trained
    }
    return (
        f"{table}\n\n{len(trained)} runs, {seeds} seed{'s' * (seeds != 1)}; "
        f"{' or '.join(sorted(sizes))}."
    )


def _measured(budget: dict[str, Any]) -> str:
    clips, seconds = budget["clips"], budget["clip_seconds"]  # None: all of them, whole
    which = "all clips" if clips is None else f"{clips} clips"
    return which if seconds is None else f"{which} of {seconds:g} s"


def _scores(runs: Sequence[Result], columns: Sequence[tuple[int, str]]) -> list[list[str]]:
    """A row for the untrained start and for each method."""
    groups = [("start (nothing trained)", chosen(runs, method="start")), *variants(runs)]
    return [
        [
            title,
            *(
                spread_of([mean_score(run, *column) for run in mine], _DIGITS[column[1]])
                for column in columns
            ),
        ]
        for title, mine in groups
    ]


def _differences(runs: Sequence[Result], columns: Sequence[tuple[int, str]]) -> list[list[str]]:
    reference = chosen(runs, method=REFERENCE)
    return [
        [title, *(_cell(difference(mine, reference, *column)) for column in columns)]
        for title, mine in variants(runs)
        if title != TITLES[REFERENCE]
    ]


def _head(first: str, columns: Sequence[tuple[int, str]]) -> list[str]:
    return [first, *(f"{_SHORT.get(measure, measure)} at {stages}" for stages, measure in columns)]


_RESIDUAL_SCORES = [
    (3, "pesq_wb"),
    (6, "pesq_wb"),
    (12, "pesq_wb"),
    (3, "stoi"),
    (12, "stoi"),
    (12, "mel_distance"),
    (12, "si_sdr"),
    (3, "kbps"),
    (12, "kbps"),
]
_RESIDUAL_DIFFERENCES = [column for column in _RESIDUAL_SCORES if column[1] != "kbps"]


def residual_scores(results: Results) -> str:
    """Setting 2: twelve stages."""
    runs = _of(results, "residual")
    head = _head("means at so many stages", _RESIDUAL_SCORES)
    return _with_budget(markdown(head, _scores(runs, _RESIDUAL_SCORES)), runs)


def residual_differences(results: Results) -> str:
    """Setting 2, each method against DiVeQ."""
    rows = _differences(_of(results, "residual"), _RESIDUAL_DIFFERENCES)
    return markdown(_head("less DiVeQ, at so many stages", _RESIDUAL_DIFFERENCES), rows)


def residual_stages(results: Results) -> str:
    """Setting 2: error per stage, use, time."""
    runs = _of(results, "residual")
    shown = (1, 3, 6, 12)
    head = [
        "method",
        *(f"left after {n}, %" for n in shown),
        "used, %",
        "perplexity",
        "ms per step",
    ]
    rows = [
        [
            title,
            *(spread_of([100 * run["energy_left"][n - 1] for run in mine], 1) for n in shown),
            *_training(mine),
        ]
        for title, mine in [
            ("start (nothing trained)", chosen(runs, method="start")),
            *variants(runs),
        ]
    ]
    return markdown(head, rows)


def _training(runs: Sequence[Result]) -> list[str]:
    """Use and perplexity in the last interval of the training, means of the stages; processor time
    of a step.
    """
    if not all("history" in run for run in runs):
        return ["", "", ""]
    return [
        spread_of([100 * statistics.fmean(run["history"]["used"][-1]) for run in runs], 0),
        spread_of([statistics.fmean(run["history"]["perplexity"][-1]) for run in runs], 0),
        spread_of([run["step_ms"] for run in runs], 0),
    ]


def one_codebook(results: Results) -> str:
    """Setting 1: methods against bits."""
    runs = _of(results, "one-codebook")
    bits = sorted({run["run"]["bits"] for run in runs})
    head = ["one codebook", *(f"{_SHORT[m]}, {b} bits" for m in ("pesq_wb", "stoi") for b in bits)]
    head += [f"kbps, {b} bits" for b in bits]
    groups = [("start (nothing trained)", chosen(runs, method="start")), *variants(runs)]
    rows = [
        [
            title,
            *(
                spread_of([mean_score(run, 1, measure) for run in chosen(mine, bits=b)], 3)
                for measure in ("pesq_wb", "stoi", "kbps")
                for b in bits
            ),
        ]
        for title, mine in groups
    ]
    return _with_budget(markdown(head, rows), runs)


def one_codebook_differences(results: Results) -> str:
    """Setting 1, each method against DiVeQ at the same bits."""
    runs = _of(results, "one-codebook")
    bits = sorted({run["run"]["bits"] for run in runs})
    measures = ("pesq_wb", "stoi", "mel_distance")
    head = ["less DiVeQ", *(f"{_SHORT[m]}, {b} bits" for m in measures for b in bits)]
    rows = []
    for title, mine in variants(runs):
        if title != TITLES[REFERENCE]:
            cells = [
                _cell(
                    difference(
                        chosen(mine, bits=b), chosen(runs, bits=b, method=REFERENCE), 1, measure
                    )
                )
                for measure in measures
                for b in bits
            ]
            rows.append([title, *cells])
    return markdown(head, rows)


def random_start(results: Results) -> str:
    """Setting 1 from random codewords, without replacement."""
    runs = _of(results, "one-codebook", "random")
    columns = [(1, measure) for measure in ("pesq_wb", "stoi", "mel_distance", "kbps")]
    head = [
        *_head("one codebook of 10 bits, from random codewords", columns),
        "used, %",
        "perplexity",
        "left, %",
    ]
    groups = [chosen(runs, method="start"), *(mine for _, mine in variants(runs))]
    rows = [
        [*cells, *_training(mine)[:2], spread_of([100 * run["energy_left"][0] for run in mine], 1)]
        for cells, mine in zip(_scores(runs, columns), groups, strict=True)
    ]
    return _with_budget(markdown([name.removesuffix(" at 1") for name in head], rows), runs)


def random_start_differences(results: Results) -> str:
    """The same, each method against DiVeQ."""
    columns = [(1, measure) for measure in ("pesq_wb", "stoi", "mel_distance")]
    head = [name.removesuffix(" at 1") for name in _head("less DiVeQ", columns)]
    return markdown(head, _differences(_of(results, "one-codebook", "random"), columns))


def positions(results: Results) -> str:
    """SF-DiVeQ's position bits in twelve stages, against DiVeQ at as many bits, which spends them
    on more stages.
    """
    runs = _of(results, "residual")
    curves = [run for run in chosen(runs, method="sf_diveq") if "positions" in run]
    if not curves:
        return "Not run yet."
    plain = {run["run"]["seed"]: run for run in chosen(runs, method=REFERENCE)}
    bits = sorted({row["position_bits"] for row in curves[0]["positions"]})
    rows = []
    for stages in [row["stages"] for row in curves[0]["rows"]]:
        at = [[_at_positions(run, stages, number) for run in curves] for number in (0, *bits)]
        rates: list[list[float]] = [[row["kbps"] for row in column] for column in at]
        rows.append([f"{stages} stages: kbps", *(spread_of(column, 3) for column in rates)])
        quality = [spread_of([_mean_of(row, "pesq_wb") for row in column], 3) for column in at]
        rows.append([f"{stages} stages: PESQ", *quality])
        pairs = [zip(curves, column, strict=True) for column in rates]
        theirs = [
            [_interpolated(plain.get(run["run"]["seed"]), rate) for run, rate in column]
            for column in pairs
        ]
        cells = [*map(_or_nothing, theirs)]
        if any(cells):
            rows.append([f"{stages} stages: PESQ of DiVeQ at so many bits", *cells])
    return markdown(
        ["SF-DiVeQ; positions per segment", "1", *(str(1 << number) for number in bits)], rows
    )


def _at_positions(run: Result, stages: int, bits: int) -> dict[str, Any]:
    if not bits:
        return row_of(run, stages)
    (row,) = (
        row for row in run["positions"] if (row["stages"], row["position_bits"]) == (stages, bits)
    )
    return row


def _interpolated(run: Result | None, kbps: float) -> float | None:
    """PESQ between the two numbers of stages whose rates are next to this one; None beyond all
    stages.
    """
    if run is None:
        return None
    points = [
        (row["kbps"], quality)
        for row in run["rows"]
        if (quality := _mean_of(row, "pesq_wb")) is not None
    ]
    rates, scores = zip(*points, strict=True)
    return float(np.interp(kbps, rates, scores)) if rates[0] <= kbps <= rates[-1] else None


def _or_nothing(values: Sequence[float | None]) -> str:
    return "" if None in values else spread_of(values, 3)
