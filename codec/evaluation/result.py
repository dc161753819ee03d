"""What an evaluation found, as a JSON file: clips, their scores under every system, and means with
intervals.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from ..errors import ConfigError
from ..files.json_dataclass import from_plain
from ..files.json_file import read_json
from ..files.output import atomic_output
from ..metrics import METRICS, Metric, Score

__all__ = [
    "Clip",
    "Evaluation",
    "Mean",
    "PlugIn",
    "Reference",
    "StageUse",
    "System",
    "read_evaluation",
]

FORMAT = "diveq-codec evaluation 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An original: `seconds` is 0 where it cannot be read; `audio` is relative to the evaluation's
    file.

    `scores` are of the metrics that judge originals.
    """

    name: str
    seconds: float
    audio: str | None = None
    scores: dict[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One original under one system.

    Attributes:
        name: That of the reference.
        bits: Really spent, None where unknown.
        delay_samples: By which the decoded audio was found late, at the reference's rate, and was
            moved.
        scores: By metric; empty where `failure` says why there are none.
        audio: The decoded file, moved into place, relative to the evaluation's file.
        failure: One line.
    """

    name: str
    bits: int | None = None
    delay_samples: int = 0
    scores: dict[str, Score] = field(default_factory=dict)
    audio: str | None = None
    failure: str | None = None

    def failures(self) -> list[str]:
        """Why scores are missing, metrics with one reason together: "pesq_wb, stoi: the reference
        is silent".
        """
        if self.failure is not None:
            return [self.failure]
        reasons: dict[str, list[str]] = {}
        for name, score in self.scores.items():
            if score.failure is not None:
                reasons.setdefault(score.failure, []).append(name)
        return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """The mean over the clips that have a value, and its 95 % bootstrap interval.

    `mean` is None where no clip has a value, `low` and `high` where fewer than three have. `failed`
    counts failures; of the other clips, if there are any, each had nothing to measure.
    """

    mean: float | None
    low: float | None
    high: float | None
    clips: int
    failed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StageUse:
    """How a quantizer stage uses its codewords: the share that occurs, the entropy in bits, and how
    often each does.
    """

    bits: int
    used: float
    entropy_bits: float
    histogram: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A codec at one rate; points of one `family` are joined to a curve. Speeds are in times real
    time.
    """

    name: str
    family: str
    clips: tuple[Clip, ...]
    means: dict[str, Mean]
    kbps: float | None = None
    encode_speed: float | None = None
    decode_speed: float | None = None
    note: str = ""
    stages: tuple[StageUse, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlugIn:
    """What a user's own metric is called, its unit, and its direction."""

    title: str
    unit: str = ""
    higher_is_better: bool = True
    best: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """All systems on all references.

    Attributes:
        metrics: The columns, in order.
        plug_ins: Describes those of the user.
        original_means: Of the originals themselves, by those metrics that judge them.
    """

    data: str
    metrics: tuple[str, ...]
    references: tuple[Reference, ...]
    systems: tuple[System, ...]
    plug_ins: dict[str, PlugIn] = field(default_factory=dict)
    original_means: dict[str, Mean] = field(default_factory=dict)
    format: Literal["diveq-codec evaluation 1"] = FORMAT

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(
                f"each system has a name of its own, but several are called {', '.join(twice)}"
            )
        if unknown := [
            name for name in self.metrics if name not in METRICS and name not in self.plug_ins
        ]:
            raise ConfigError(f"the evaluation does not describe its metric {', '.join(unknown)}")
        clips = tuple(reference.name for reference in self.references)
        for system in self.systems:
            if tuple(clip.name for clip in system.clips) != clips:
                raise ConfigError(
                    f"the clips of {system.name} are not the references, in their order"
                )
            if set(system.means) != set(self.metrics):
                raise ConfigError(
                    f"the means of {system.name} are not those of the metrics "
                    f"{', '.join(self.metrics)}"
                )
        if unknown := [name for name in self.original_means if name not in self.metrics]:
            raise ConfigError(
                f"the originals have means of {', '.join(unknown)}, which is none of the metrics"
            )

    def metric(self, name: str) -> Metric | PlugIn:
        """Title, unit and direction of one of `metrics`."""
        return self.plug_ins[name] if name in self.plug_ins else METRICS[name]

    def direction(self, name: str) -> str:
        """Which way one of `metrics` is better: "higher is better", "lower is better", "0 is
        best".
        """
        metric = self.metric(name)
        if metric.best is not None:
            return f"{metric.best:g} is best"
        return f"{'higher' if metric.higher_is_better else 'lower'} is better"

    def merit(self, name: str, value: float) -> float:
        """Map a value of one of `metrics` to a number that is larger for better values."""
        metric = self.metric(name)
        if metric.best is not None:
            return -abs(value - metric.best)
        return value if metric.higher_is_better else -value

    def to_dict(self) -> dict[str, Any]:
        """Plain types of JSON; `format` first."""
        return {"format": self.format, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, given: Any) -> Evaluation:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: Something is unknown, missing or of another type, or does not fit together.
        """
        found = given.get("format") if isinstance(given, dict) else None
        if found != FORMAT:
            raise ConfigError(f"an evaluation has the format {FORMAT!r}, not {found!r}")
        return from_plain(cls, given)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the JSON file, whole or not at all."""
        with atomic_output(path, overwrite=overwrite) as file:
            file.write(self.to_json().encode())


def read_evaluation(path: str | PathLike[str]) -> Evaluation:
    """The evaluation in a file.

    Raises:
        ConfigError: It cannot be read, or is no evaluation.
    """
    try:
        return Evaluation.from_dict(read_json(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise ConfigError(f"{path} is no evaluation: not JSON ({error})") from error
    except ConfigError as error:
        raise ConfigError(f"{path} is no evaluation: {error}") from error
