"""How cost grows: time and peak memory of files through the product, each in a process of its
own.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from codec.errors import DiveqCodecError
from codec.layouts.presets import PRESETS

from .candidates import noise, random_checkpoint
from .one_file import Cost

_BLOCK_SECONDS = 60
_ROOT = Path(__file__).parents[3]  # recipes are not installed


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is coded, and with what; the channels of a file are computed together, as a batch."""

    seconds: float = 60.0
    stages: int = 12
    threads: int = 1
    channels: int = 1


@dataclass(frozen=True)
class Point:
    """The cost at one setting; `axis` is the field of it that is varied."""

    axis: str
    setting: Setting
    encode: Cost
    decode: Cost


def settings(
    lengths: Sequence[float], most_stages: int, threads: int
) -> Iterator[tuple[str, Setting]]:
    """Vary one field at a time."""
    base = Setting(stages=most_stages, threads=threads)
    stages = [count for count in (1, 2, 4, 8, 12, 14) if count <= most_stages]
    axes = {
        "seconds": lengths,
        "stages": stages,
        "threads": range(1, threads + 1),
        "channels": (1, 2, 4, 8),
    }
    for axis, values in axes.items():
        for value in values:
            yield axis, dataclasses.replace(base, **{axis: value})


def measure_growth(
    preset: str, lengths: Sequence[float], threads: int, backend: str
) -> list[Point]:
    """Measure all points, once each."""
    config = PRESETS[preset]()
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        random_checkpoint(config).save(model)
        wanted = list(settings(lengths, len(config.stages), threads))
        costs: dict[Setting, tuple[Cost, Cost]] = {}
        for _, setting in wanted:
            if setting not in costs:  # the axes cross in one setting, which is measured once
                costs[setting] = _costs(setting, model, config.sample_rate_hz, backend)
    return [Point(axis, setting, *costs[setting]) for axis, setting in wanted]


def _costs(setting: Setting, model: Path, sample_rate_hz: int, backend: str) -> tuple[Cost, Cost]:
    """Of encoding and of decoding."""
    with TemporaryDirectory() as folder:
        source, coded, heard = (
            Path(folder) / name for name in ("noise.wav", "coded.dvq", "heard.wav")
        )
        _write_noise(source, setting, sample_rate_hz)
        encode = _run("encode", model, source, coded, setting, backend)
        decode = _run("decode", model, coded, heard, setting, backend)
    return encode, decode


def _write_noise(path: Path, setting: Setting, sample_rate_hz: int) -> None:
    """A minute of noise, over and over, the same in all channels."""
    samples = round(setting.seconds * sample_rate_hz)
    minute = noise(_BLOCK_SECONDS, sample_rate_hz)
    with soundfile.SoundFile(path, "w", sample_rate_hz, setting.channels, "PCM_16") as file:
        for start in range(0, samples, len(minute)):
            block = minute[: samples - start]
            file.write(np.repeat(block[:, None], setting.channels, axis=1))


def _run(
    verb: str, model: Path, source: Path, target: Path, setting: Setting, backend: str
) -> Cost:
    options = [str(model), str(source), str(target), str(setting.stages), backend]
    command = [sys.executable, "-m", f"{__package__}.one_file", verb, *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(setting.threads)}
    process = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise DiveqCodecError(f"{verb} of {setting} failed: {reason}")
    return Cost.from_json(process.stdout)
