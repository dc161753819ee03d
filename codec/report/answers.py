"""Sums up the answers of listeners: means of ratings, shares of right ABX answers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..files.json_file import read_json

__all__ = ["Heard", "ListeningResult", "listening_result"]

FORMAT = "diveq-codec listening 1"
REFERENCE = "Hidden reference"
_RESAMPLES = 2000
_LEAST_FOR_REFERENCE, _FORGIVEN = (
    90,
    0.15,
)  # ITU-R BS.1534-3, 4.1.2: who rates the hidden reference lower in more
# than 15 % of the trials did not hear it


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A system's result over all listeners.

    Attributes:
        system: Its name.
        answers: How many ratings, or ABX trials.
        mean: Of ratings from 0 to 100, or the share of right answers.
        low: Of the 95 % bootstrap interval over listeners; None with fewer than two.
        high: Likewise.
        by_guessing: The chance that guessing gives as many right ABX answers; None for ratings.
    """

    system: str
    answers: int
    mean: float
    low: float | None
    high: float | None
    by_guessing: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningResult:
    """All answers to one test: `systems` from best to worst, and who or which file was left out,
    and why.
    """

    test: str
    listeners: tuple[str, ...]
    left_out: tuple[str, ...]
    systems: tuple[Heard, ...]


def listening_result(files: Iterable[str | PathLike[str]]) -> ListeningResult:
    """Sum up the files that listeners saved of one blind page.

    Listeners who rate the hidden reference below 90 in more than 15 % of their trials are left out
    (ITU-R BS.1534-3). Of files that were saved during one sitting, the one with the most answers
    counts.

    Raises:
        ConfigError: A file is not such an answer, or answers another test than the first one.
    """
    answers = [_read(Path(file)) for file in files]
    if not answers:
        raise ConfigError("no file of answers was given; a blind page saves one for each listener")
    for path, found in answers[1:]:
        for fact in ("evaluation", "test"):
            if found[fact] != answers[0][1][fact]:
                raise ConfigError(
                    f"{path} answers another {fact} than {answers[0][0]}; sum them up apart"
                )
    answers, left_out = _one_of_each_sitting(answers)
    kept = []
    for path, found in answers:
        if _heard_the_reference(found):
            kept.append((path, found))
        else:
            left_out.append(f"{_listener(path, found)}: rated the reference below 90 too often")
    by_system: dict[str, list[list[float]]] = {}
    for _, found in kept:
        for system, values in _values(found).items():
            by_system.setdefault(system, []).append(values)
    is_abx = answers[0][1]["test"] == "abx"
    systems = [_summed(system, values, is_abx) for system, values in by_system.items()]
    return ListeningResult(
        test=answers[0][1]["test"],
        listeners=tuple(_listener(path, found) for path, found in kept),
        left_out=tuple(left_out),
        systems=tuple(sorted(systems, key=lambda heard: -heard.mean)),
    )


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    """One listener's file, checked as far as it is used."""
    try:
        found = read_json(path)
        if found["format"] != FORMAT or found["test"] not in ("mushra", "abx"):
            raise ValueError(f"its format is {found['format']!r}, expected {FORMAT!r}")
        _values(found)
        str(found["evaluation"])
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} holds no answers of a blind page ({error!r})") from error
    return path, found


def _one_of_each_sitting(
    answers: list[tuple[Path, dict[str, Any]]],
) -> tuple[list[tuple[Path, dict[str, Any]]], list[str]]:
    """Keep the file with the most answers of each sitting; say which others were left out.

    "Save the answers so far" leaves a file beside the last one, which has its answers again.
    """
    fullest: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, found in answers:
        sitting = _sitting(path, found)
        before = fullest.get(sitting)
        if before is None or len(found["answers"]) > len(before[1]["answers"]):
            fullest[sitting] = (path, found)
    left_out = []
    for path, found in answers:
        kept, _ = fullest[_sitting(path, found)]
        if path != kept:
            left_out.append(f"{path}: {kept} holds the same sitting")
    return list(fullest.values()), left_out


def _sitting(path: Path, found: dict[str, Any]) -> str:
    """Identify a sitting by its listener, seed and start; a file without a start is one alone."""
    if "started" not in found:
        return str(path)
    return repr([found.get(fact) for fact in ("listener", "seed", "started")])


def _values(found: dict[str, Any]) -> dict[str, list[float]]:
    """A listener's ratings, or 1 and 0 for right and wrong, by system."""
    values: dict[str, list[float]] = {}
    for answer in found["answers"]:
        if found["test"] == "abx":
            _add(values, answer["system"], answer["correct"], most=1)
            continue
        for rating in answer["ratings"]:
            system = REFERENCE if rating["system"] is None else rating["system"]
            _add(values, system, rating["rating"], most=100)
    return values


def _add(values: dict[str, list[float]], system: Any, value: Any, *, most: int) -> None:
    if not (isinstance(system, str) and 0 <= value <= most):
        raise ValueError(f"{system!r} has a name and 0 to {most}, not {value!r}")
    values.setdefault(system, []).append(float(value))


def _heard_the_reference(found: dict[str, Any]) -> bool:
    ratings = _values(found).get(REFERENCE, []) if found["test"] == "mushra" else []
    missed = sum(rating < _LEAST_FOR_REFERENCE for rating in ratings)
    return missed <= _FORGIVEN * len(ratings)


def _listener(path: Path, found: dict[str, Any]) -> str:
    return str(found.get("listener") or path.name)


def _summed(system: str, values: list[list[float]], is_abx: bool) -> Heard:
    """`values` of each listener; listeners count alike."""
    means = np.array([np.mean(one) for one in values])
    low, high = _interval(means) if len(means) > 1 else (None, None)
    count = sum(map(len, values))
    guessing = _chance(round(sum(map(sum, values))), count) if is_abx else None
    return Heard(
        system=system,
        answers=count,
        mean=float(means.mean()),
        low=low,
        high=high,
        by_guessing=guessing,
    )


def _interval(means: np.ndarray) -> tuple[float, float]:
    draws = np.random.default_rng(0).integers(len(means), size=(_RESAMPLES, len(means)))
    low, high = np.percentile(means[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _chance(right: int, total: int) -> float:
    """Return the probability of at least so many right answers of `total` by guessing."""
    return sum(math.comb(total, hits) for hits in range(right, total + 1)) / 2**total
