"""What was measured under each condition, beside speech as it is, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codec.evaluation.result import Clip, Evaluation, Mean, System
from codec.evaluation.summary import summarise
from codec.metrics import METRICS, Score

from ...markdown import number, score, table

__all__ = ["MeasuredCondition", "as_plain", "as_tables"]

_TABLES = (("pesq_wb", "estoi"), ("mel_distance", "si_sdr"))
_DIGITS = {"pesq_wb": 2, "estoi": 3, "mel_distance": 3, "si_sdr": 1}


@dataclass(frozen=True, kw_only=True)
class MeasuredCondition:
    """One condition: a system per bitrate; `turned_down_db` of the clips that full scale
    limited.
    """

    condition: str
    evaluation: Evaluation
    turned_down_db: tuple[float, ...] = ()

    def differences(self, base: MeasuredCondition) -> list[dict[str, Mean]]:
        """Per bitrate and by metric, this less the base, clip by clip; nothing for itself, and for
        other clips.
        """
        systems, bases = self.evaluation.systems, base.evaluation.systems
        if self is base or self._clips() != base._clips():
            return [{} for _ in systems]
        return [
            {name: _difference(one, other, name) for name in self.evaluation.metrics}
            for one, other in zip(systems, bases, strict=True)
        ]

    def _clips(self) -> list[str]:
        return [reference.name for reference in self.evaluation.references]


def _difference(one: System, other: System, metric: str) -> Mean:
    """Of the clips that have both scores; the others have failed."""
    clips = []
    for pair in zip(one.clips, other.clips, strict=True):
        scores = [clip.scores.get(metric) for clip in pair]
        values = [score.value for score in scores if score and score.value is not None]
        less = Score(values[0] - values[1]) if len(values) == 2 else Score(None, "no two scores")
        clips.append(Clip(name=pair[0].name, scores={metric: less}))
    return summarise(clips, [metric])[metric]


def as_plain(measured: Sequence[MeasuredCondition], bitrates: Sequence[float]) -> list[Any]:
    """Plain types of JSON, with intervals; the first is speech as it is."""
    return [
        {
            "name": one.condition,
            "clips": len(one.evaluation.references),
            "turned_down_db": list(one.turned_down_db),
            "systems": [
                {
                    "bitrate_kbps": bitrate_kbps,
                    "kbps": system.kbps,
                    "means": {name: asdict(mean) for name, mean in system.means.items()},
                    "less_as_it_is": {name: asdict(mean) for name, mean in less.items()},
                }
                for bitrate_kbps, system, less in zip(
                    bitrates, one.evaluation.systems, one.differences(measured[0]), strict=True
                )
            ],
        }
        for one in measured
    ]


def as_tables(measured: Sequence[MeasuredCondition], bitrates: Sequence[float]) -> str:
    """Two tables in Markdown, with a row per condition; the first is speech as it is."""
    return (
        "Means; in brackets the mean difference from speech as it is, clip by clip. The reference "
        "is always the changed signal, which goes into the codec.\n\n"
        + "\n\n".join(_table(measured, bitrates, metrics) for metrics in _TABLES)
        + "\n"
    )


def _table(
    measured: Sequence[MeasuredCondition], bitrates: Sequence[float], metrics: Sequence[str]
) -> str:
    heads = ["condition", "turned down to fit full scale"]
    for kbps in bitrates:
        heads += [f"{kbps:g} kbps: kbps of files", *(_title(name) for name in metrics)]
    rows = []
    for one in measured:
        cells = [one.condition, _turned_down(one)]
        differences = one.differences(measured[0])
        for system, less in zip(one.evaluation.systems, differences, strict=True):
            cells += [number(system.kbps, 2)]
            cells += [_cell(name, system.means, less) for name in metrics]
        rows.append(cells)
    return table(heads, rows)


def _title(name: str) -> str:
    metric = METRICS[name]
    return f"{metric.title}, dB" if metric.unit == "dB" else metric.title


def _cell(name: str, means: Mapping[str, Mean], less: Mapping[str, Mean]) -> str:
    change = less[name].mean if name in less else None
    return score(means.get(name), _DIGITS[name], change=change)


def _turned_down(one: MeasuredCondition) -> str:
    down = one.turned_down_db
    return f"{len(down)} clips by {sum(down) / len(down):.1f} dB" if down else "-"
