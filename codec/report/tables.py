"""The tables of a report. A number's cell holds the exact value too (`data-value`), by which
columns are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..evaluation.result import Clip, Evaluation, Mean, System
from .figures import decimals_of, interval, metric_decimals, overall_metrics, plural, value
from .markup import Markup, tag

__all__ = [
    "clips_table",
    "extremes_table",
    "failures_table",
    "number_cell",
    "results_table",
    "speed_table",
    "table",
]

MAX_ROWS = 5000
"""Of the per-file table: browsers get slow with more. The evaluation itself has all."""
_NONE = "\N{EN DASH}"
EXTREMES = 3
"""How many best and worst clips are named for each system and metric."""


def table(
    caption: str,
    heads: Sequence[Markup],
    rows: Sequence[Markup],
    *,
    sortable: bool = False,
    long: bool = False,
) -> Markup:
    """A table in a box of its own, which scrolls where the page is too narrow for it, or the table
    too long.
    """
    inner = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        class_="sortable" if sortable else None,
    )
    return tag(
        "div",
        inner,
        class_="scroll long" if long else "scroll",
        role="region",
        aria_label=caption,
        tabindex=0,
    )


def number_cell(number: float | None, decimals: int, *more: Markup | None) -> Markup:
    """A number's cell, or that of an unknown one, with what may follow the number."""
    if number is None:
        return tag("td", _NONE, *more, class_="number")
    return tag("td", value(number, decimals), *more, class_="number", data_value=repr(number))


def results_table(evaluation: Evaluation, metrics: Sequence[str], caption: str) -> Markup:
    """Tabulate the originals, by the metrics that judge them, and all systems."""
    heads = [tag("th", "System", scope="col"), tag("th", "kbps", scope="col", class_="number")]
    heads += [metric_head(evaluation, metric) for metric in metrics]
    rows = [_result_row(evaluation, system, metrics) for system in evaluation.systems]
    if not evaluation.original_means.keys().isdisjoint(metrics):
        rows.insert(0, _original_row(evaluation, metrics))
    return table(caption, heads, rows, sortable=True)


def metric_head(evaluation: Evaluation, metric: str) -> Markup:
    """The head of a metric's column: title, unit, direction."""
    facts = evaluation.metric(metric)
    unit = tag("small", facts.unit) if facts.unit else None
    arrow = _direction_sign(evaluation.direction(metric))
    return tag("th", facts.title, "\N{NO-BREAK SPACE}", arrow, unit, scope="col", class_="number")


def _direction_sign(words: str) -> Markup:
    """Which way is better, as a sign that is read out as words."""
    sign = {"higher is better": "↑", "lower is better": "↓"}.get(words, f"→ {words.split()[0]}")
    return tag("span", sign, role="img", aria_label=words, title=words)


def _original_row(evaluation: Evaluation, metrics: Sequence[str]) -> Markup:
    cells = [tag("th", "Original", scope="row"), number_cell(None, 2)]
    for metric in metrics:
        mean, decimals = evaluation.original_means.get(metric), metric_decimals(evaluation, metric)
        cells.append(_mean_cell(mean, decimals) if mean else number_cell(None, decimals))
    return tag("tr", *cells)


def _result_row(evaluation: Evaluation, system: System, metrics: Sequence[str]) -> Markup:
    note = tag("small", system.note) if system.note else None
    cells = [tag("th", system.name, note, scope="row"), number_cell(system.kbps, 2)]
    cells += [
        _mean_cell(system.means[metric], metric_decimals(evaluation, metric)) for metric in metrics
    ]
    return tag("tr", *cells)


def _mean_cell(mean: Mean, decimals: int) -> Markup:
    span = interval(mean, decimals)
    failed = tag("small", f"{mean.failed:,} failed", class_="failed") if mean.failed else None
    return number_cell(mean.mean, decimals, tag("small", span) if span else None, failed)


def speed_table(evaluation: Evaluation) -> Markup | None:
    """Tabulate the speeds of the systems that were timed; None where none was."""
    timed = [
        s for s in evaluation.systems if s.encode_speed is not None or s.decode_speed is not None
    ]
    if not timed:
        return None
    heads = [tag("th", "System", scope="col"), _number_head("Encoding"), _number_head("Decoding")]
    rows = [_speed_row(system) for system in timed]
    return table("Speed in times real time: higher is faster", heads, rows, sortable=True)


def _number_head(text: str) -> Markup:
    return tag("th", text, scope="col", class_="number")


def _speed_row(system: System) -> Markup:
    note = tag("small", system.note) if system.note else None
    speeds = (system.encode_speed, system.decode_speed)
    cells = (number_cell(speed, decimals_of([speed] if speed else [])) for speed in speeds)
    return tag("tr", tag("th", system.name, note, scope="row"), *cells)


def extremes_table(evaluation: Evaluation, metric: str, anchors: dict[int, str]) -> Markup:
    """Each system's best and worst clips by one metric; `anchors` are the ids of clips that can be
    heard.
    """
    title = evaluation.metric(metric).title
    decimals = metric_decimals(evaluation, metric)
    rows = []
    for system in evaluation.systems:
        scored = _scored(system, metric)
        ranked = sorted(scored, key=lambda clip: -evaluation.merit(metric, scored[clip]))
        best, worst = ranked[:EXTREMES], ranked[EXTREMES:][::-1][:EXTREMES]
        cells = (
            tag(
                "td",
                *(_clip_score(evaluation, clip, scored[clip], decimals, anchors) for clip in clips),
            )
            for clips in (best, worst)
        )
        rows.append(tag("tr", tag("th", system.name, scope="row"), *cells))
    heads = [
        tag("th", title, scope="col")
        for title in ("System", "Best, from the first", "Worst, from the last")
    ]
    return table(f"Best and worst clips by {title}", heads, rows)


def _scored(system: System, metric: str) -> dict[int, float]:
    """The values of the clips that have one, by the clip's place."""
    scores = {number: clip.scores.get(metric) for number, clip in enumerate(system.clips)}
    return {
        number: score.value
        for number, score in scores.items()
        if score is not None and score.value is not None
    }


def _clip_score(
    evaluation: Evaluation, clip: int, score: float, decimals: int, anchors: dict[int, str]
) -> Markup:
    name = evaluation.references[clip].name
    text = tag("a", name, href=f"#{anchors[clip]}") if clip in anchors else tag("span", name)
    return tag(
        "div", text, " ", tag("b", value(score, decimals), data_value=repr(score)), class_="extreme"
    )


def clips_table(evaluation: Evaluation) -> Markup:
    """Tabulate every clip under every system, as many as `MAX_ROWS`."""
    heads = [tag("th", title, scope="col") for title in ("Clip", "System")]
    heads += [_number_head("Seconds"), _number_head("kbps")]
    heads += [metric_head(evaluation, metric) for metric in overall_metrics(evaluation)]
    rows = list(_clip_rows(evaluation))
    left_out = max(0, len(rows) - MAX_ROWS)
    caption = "Every clip under every system"
    if left_out:
        caption += f" ({plural(left_out, 'row')} left out here; the evaluation's file has all)"
    return table(caption, heads, rows[:MAX_ROWS], sortable=True, long=True)


def _clip_rows(evaluation: Evaluation) -> Iterator[Markup]:
    decimals = {
        metric: metric_decimals(evaluation, metric) for metric in overall_metrics(evaluation)
    }
    for number, reference in enumerate(evaluation.references):
        for system in evaluation.systems:
            clip = system.clips[number]
            kbps = (
                clip.bits / reference.seconds / 1000
                if clip.bits is not None and reference.seconds
                else None
            )
            cells = [tag("th", reference.name, scope="row"), tag("td", system.name)]
            cells += [number_cell(reference.seconds, 2), number_cell(kbps, 2)]
            cells += [_score_cell(clip, metric, places) for metric, places in decimals.items()]
            yield tag("tr", *cells, class_="failed" if clip.failure is not None else None)


def _score_cell(clip: Clip, metric: str, decimals: int) -> Markup:
    score = clip.scores.get(metric)
    if score is not None and score.value is not None:
        return number_cell(score.value, decimals)
    failed = clip.failure is not None or (score is not None and score.failure is not None)
    return tag("td", tag("small", "failed" if failed else _NONE), class_="number")


def failures_table(evaluation: Evaluation) -> Markup | None:
    """Tabulate everything that failed, and why; None where nothing did."""
    failures = list(_failures(evaluation))
    if not failures:
        return None
    heads = [tag("th", title, scope="col") for title in ("Clip", "System", "Metric", "Reason")]
    rows = [
        tag(
            "tr",
            tag("th", clip, scope="row"),
            tag("td", system),
            tag("td", metric),
            tag("td", why, class_="reason"),
        )
        for clip, system, metric, why in failures
    ]
    return table(plural(len(failures), "failure"), heads, rows[:MAX_ROWS], long=True)


def _failures(evaluation: Evaluation) -> Iterator[tuple[str, str, str, str]]:
    for system in evaluation.systems:
        for clip in system.clips:
            if clip.failure is not None:
                yield clip.name, system.name, "all", clip.failure
            for metric, score in clip.scores.items():
                if score.failure is not None:
                    title = (
                        evaluation.metric(metric).title if metric in evaluation.metrics else metric
                    )
                    yield clip.name, system.name, title, score.failure
