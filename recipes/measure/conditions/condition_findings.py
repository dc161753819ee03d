"""What was measured under each condition, what that is beside clean speech, and whether the goal
for levels holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codec.evaluation.result import Clip, Evaluation, Mean, System
from codec.evaluation.summary import summarise
from codec.metrics import Score

from ..harness import Subject
from .changed_clips import AS_IT_IS, level_condition

__all__ = ["PESQ_GOAL", "ConditionFindings", "LevelGoal", "MeasuredCondition", "difference"]

PESQ_GOAL = 0.1
_BASE_DBFS = -26
_GOAL_DBFS = (-40, -10)


@dataclass(frozen=True, kw_only=True)
class MeasuredCondition:
    """One condition: a system per bitrate; `turned_down_db` of the clips that full scale
    limited.
    """

    condition: str
    evaluation: Evaluation
    turned_down_db: tuple[float, ...] = ()

    @property
    def clips(self) -> int:
        return len(self.evaluation.references)


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelGoal:
    """PESQ-WB at a level less that at -26 dBFS, clip by clip; `holds` where the mean is within
    0.1.
    """

    bitrate_kbps: float
    dbfs: int
    difference: Mean
    holds: bool | None


@dataclass(frozen=True, kw_only=True)
class ConditionFindings:
    """All conditions, that of speech as it is among them, on one model at some bitrates, those
    asked for.
    """

    subject: Subject
    measured: Sequence[MeasuredCondition]

    def differences(self, measured: MeasuredCondition) -> list[dict[str, Mean]]:
        """Per bitrate, and by metric, this less speech as it is; nothing for itself, and for other
        clips.
        """
        base = self._of(AS_IT_IS)
        if measured.evaluation is base or _names(measured.evaluation) != _names(base):
            return [{} for _ in self.subject.bitrates_kbps]
        names = measured.evaluation.metrics
        pairs = zip(measured.evaluation.systems, base.systems, strict=True)
        return [
            {name: difference(system, other, name) for name in names} for system, other in pairs
        ]

    def level_goals(self) -> list[LevelGoal]:
        """For each bitrate and each level."""
        base = self._of(level_condition(_BASE_DBFS))
        found = []
        for dbfs in _GOAL_DBFS:
            systems = self._of(level_condition(dbfs)).systems
            for bitrate_kbps, system, other in zip(
                self.subject.bitrates_kbps, systems, base.systems, strict=True
            ):
                mean = difference(system, other, "pesq_wb")
                holds = None if mean.mean is None else abs(mean.mean) <= PESQ_GOAL
                found.append(
                    LevelGoal(bitrate_kbps=bitrate_kbps, dbfs=dbfs, difference=mean, holds=holds)
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain types of JSON."""
        return {
            **self.subject.to_dict(),
            "conditions": [self._condition(measured) for measured in self.measured],
            "level_goals": [dataclasses.asdict(goal) for goal in self.level_goals()],
        }

    def _condition(self, measured: MeasuredCondition) -> dict[str, Any]:
        return {
            "name": measured.condition,
            "clips": measured.clips,
            "turned_down_db": list(measured.turned_down_db),
            "systems": [
                {
                    "bitrate_kbps": bitrate_kbps,
                    "kbps": system.kbps,
                    "means": {
                        name: dataclasses.asdict(mean) for name, mean in system.means.items()
                    },
                    "less_as_it_is": {
                        name: dataclasses.asdict(mean) for name, mean in differences.items()
                    },
                }
                for bitrate_kbps, system, differences in zip(
                    self.subject.bitrates_kbps,
                    measured.evaluation.systems,
                    self.differences(measured),
                    strict=True,
                )
            ],
        }

    def _of(self, condition: str) -> Evaluation:
        return next(
            measured.evaluation for measured in self.measured if measured.condition == condition
        )


def difference(one: System, other: System, metric: str) -> Mean:
    """Average one's score less the other's over clips, with its interval; clips that lack either
    have failed.
    """
    clips = []
    for clip, partner in zip(one.clips, other.clips, strict=True):
        less = _less(clip, partner, metric)
        score = Score(less, None if less is not None else "one of the two has no score")
        clips.append(Clip(name=clip.name, scores={metric: score}))
    return summarise(clips, [metric])[metric]


def _names(evaluation: Evaluation) -> list[str]:
    return [reference.name for reference in evaluation.references]


def _less(one: Clip, other: Clip, metric: str) -> float | None:
    values = [clip.scores[metric].value if metric in clip.scores else None for clip in (one, other)]
    return None if values[0] is None or values[1] is None else values[0] - values[1]
