"""Small evaluations with real recordings: tones, so that what is heard tells which system it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from codec.evaluation.result import Clip, Evaluation, Mean, Reference, StageUse, System
from codec.metrics import Score

RATE_HZ = 16_000
SECONDS = 1.5
METRICS = ("pesq_wb", "si_sdr", "mel_distance")
REFERENCE_HZ, SYSTEM_HZ = 300, (700, 1500, 3100)


def tone(hz: float, *, seconds: float = SECONDS, rate: int = RATE_HZ) -> np.ndarray:
    """A sine, float (samples,)."""
    return 0.25 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def value_of(system: int, clip: int, metric: str) -> float:
    """Better systems and better clips have greater numbers; of mel distance, smaller ones."""
    good = system + 0.1 * clip
    return {
        "pesq_wb": 1.5 + good / 2,
        "si_sdr": -12.3456789 + 7 * good,
        "mel_distance": 0.9 - good / 5,
    }[metric]


def make_system(number: int, names: list[str], *, recorded: bool = True, **facts) -> System:
    """The system of that number: two of the family Tone, whose rates double, and one that is
    alone.
    """
    clips = tuple(
        Clip(
            name=name,
            bits=round(1000 * 2**number * SECONDS),
            scores={metric: Score(value_of(number, clip, metric)) for metric in METRICS},
            audio=f"system {number}/{clip}.flac" if recorded else None,
        )
        for clip, name in enumerate(names)
    )
    known = {
        "name": f"Tone {number}",
        "family": "Tone" if number < 2 else "Lonely",
        "kbps": float(2**number),
        "means": {
            metric: make_mean([value_of(number, clip, metric) for clip in range(len(names))])
            for metric in METRICS
        },
    }
    return System(clips=clips, **{**known, **facts})


def make_mean(values: list[float], *, failed: int = 0) -> Mean:
    """The mean with the ends of the range as its interval."""
    mean = sum(values) / len(values)
    return Mean(mean=mean, low=min(values), high=max(values), clips=len(values), failed=failed)


def make_evaluation(
    folder: Path, *, clips: int = 3, systems: int = 3, recorded: bool = True, **facts
) -> Evaluation:
    """An evaluation with its recordings in `folder`; facts of `Evaluation` can be given."""
    names = [f"speaker/{clip}.flac" for clip in range(clips)]
    if recorded:
        for clip in range(clips):
            write_recordings(folder, clip, systems)
    references = tuple(
        Reference(name=name, seconds=SECONDS, audio=f"reference/{clip}.wav" if recorded else None)
        for clip, name in enumerate(names)
    )
    known = {
        "data": "val",
        "metrics": METRICS,
        "references": references,
        "systems": tuple(
            make_system(number, names, recorded=recorded) for number in range(systems)
        ),
    }
    return Evaluation(**{**known, **facts})


def write_recordings(folder: Path, clip: int, systems: int) -> None:
    """Each system sounds at its own frequency, a little higher from clip to clip."""
    paths = [
        folder / f"reference/{clip}.wav",
        *(folder / f"system {n}/{clip}.flac" for n in range(systems)),
    ]
    for path, hz in zip(paths, (REFERENCE_HZ, *SYSTEM_HZ), strict=False):
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone(hz + clip), RATE_HZ, subtype="PCM_16")


def stages() -> tuple[StageUse, ...]:
    """An even stage of 2 bits, and one that uses a single codeword."""
    return (
        StageUse(bits=2, used=1.0, entropy_bits=2.0, histogram=(5, 5, 5, 5)),
        StageUse(bits=3, used=0.125, entropy_bits=0.0, histogram=(0, 0, 0, 20, 0, 0, 0, 0)),
    )
