"""Renders `ConditionFindings` as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codec.evaluation.result import Mean
from codec.metrics import METRICS

from ...markdown import number, score, table
from .condition_findings import PESQ_GOAL, ConditionFindings, LevelGoal, MeasuredCondition
from .music import PASSAGE_SECONDS

__all__ = ["as_markdown"]

_SPEECH, _SOUND = ("pesq_wb", "estoi"), ("mel_distance", "si_sdr")
_DIGITS = {"pesq_wb": 2, "estoi": 3, "mel_distance": 3, "si_sdr": 1}


def as_markdown(findings: ConditionFindings) -> str:
    """Two tables, each with a row per condition; the goal for levels; and what must be known to
    read them.
    """
    return "\n".join(_lines(findings)) + "\n"


def _lines(findings: ConditionFindings) -> Iterator[str]:
    yield findings.subject.title(findings.measured[0].clips)
    yield (
        "Means; in brackets the mean difference from speech as it is, clip by clip. Heads name the "
        "bitrate asked for; "
        "kbps are those of whole files."
    )
    yield ""
    yield _table(findings, _SPEECH, with_rate=True)
    yield ""
    yield _table(findings, _SOUND, with_rate=False)
    yield ""
    yield from _goal(findings.level_goals())
    yield ""
    yield from _notes(findings)


def _table(findings: ConditionFindings, metrics: Sequence[str], *, with_rate: bool) -> str:
    heads = ["condition"]
    for kbps in findings.subject.bitrates_kbps:
        columns = ["kbps"] * with_rate + [_title(name) for name in metrics]
        heads += [f"{kbps:g} kbps: {columns[0]}", *columns[1:]]
    rows = []
    for measured in findings.measured:
        cells = [measured.condition]
        for system, differences in zip(
            measured.evaluation.systems, findings.differences(measured), strict=True
        ):
            cells += [number(system.kbps, 2)] * with_rate
            cells += [_cell(name, system.means, differences) for name in metrics]
        rows.append(cells)
    return table(heads, rows)


def _title(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title}, dB" if metric.unit == "dB" else metric.title


def _cell(name: str, means: Mapping[str, Mean], differences: Mapping[str, Mean]) -> str:
    change = differences[name].mean if name in differences else None
    return score(means.get(name), _DIGITS[name], change=change)


def _goal(goals: Sequence[LevelGoal]) -> Iterator[str]:
    """Whether it holds everywhere, and each figure."""
    if any(goal.holds is None for goal in goals):
        verdict = "is not decided, since scores are missing"
    elif missed := sum(not goal.holds for goal in goals):
        verdict = f"is missed in {missed} of {len(goals)} cases"
    else:
        verdict = "holds"
    yield (
        f"Goal: PESQ-WB at -40 and -10 dBFS (or as near as full scale allows) within {PESQ_GOAL} "
        f"of that at -26 dBFS: "
        f"**{verdict}**."
    )
    yield ""
    for goal in goals:
        yield f"- {goal.dbfs} dBFS, {goal.bitrate_kbps:g} kbps: {_with_interval(goal.difference)}"


def _with_interval(mean: Mean) -> str:
    if mean.mean is None:
        return "not measured"
    if mean.low is None or mean.high is None:
        return f"{mean.mean:+.3f} (one clip)"
    return f"{mean.mean:+.3f} (95 % interval {mean.low:+.3f} to {mean.high:+.3f})"


def _notes(findings: ConditionFindings) -> Iterator[str]:
    for measured in findings.measured:
        if note := _limited(measured):
            yield note
    yield (
        "- The reference is always the changed signal, which goes into the codec. Levels are those "
        "of speech without "
        "its pauses. Noise falls by 0 to 6 dB per octave, its SNR is that of the whole clip. The "
        "reverberant tail has "
        "the energy of the direct sound. The second speaker is as loud as the first."
    )
    passages = findings.measured[-1].clips
    yield (
        f"- Music is no recording: {passages} synthesised passage{'s' * (passages != 1)} of "
        f"{PASSAGE_SECONDS:g} s, "
        "chords that are struck and die away over a bass, with percussion. PESQ and ESTOI are for "
        "speech, and not "
        "given. Silence and pure tones are not scored."
    )


def _limited(measured: MeasuredCondition) -> str | None:
    """What kept clips from the level that they were meant to have."""
    down = measured.turned_down_db
    if not down:
        return None
    return (
        f"- {measured.condition}: {len(down)} of {measured.clips} clips would pass full scale, and "
        f"were turned down "
        f"until their peaks reach it, by {sum(down) / len(down):.1f} dB on average and "
        f"{max(down):.1f} dB at most."
    )
