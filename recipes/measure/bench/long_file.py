"""Measure time and memory of one file by its length, each step in a process of its own.

python -m recipes.measure.bench.long_file --backend onnx --seconds 1 60 7200
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import soundfile

from codec import DEFAULT_MODEL, Codec
from codec.errors import ConfigError, DiveqCodecError

from ...markdown import table
from ...memory import peak_memory_mb
from ...run_script import run_script

_RATE_HZ = 16_000
_SAMPLES = Path(__file__).parents[3] / "samples"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to code, and with what."""

    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    backend: Literal["torch", "onnx"] = "torch"
    seconds: tuple[float, ...] = (1.0, 10.0, 60.0, 600.0)
    """Lengths of the file."""
    threads: int = 1

    def __post_init__(self) -> None:
        if min((*self.seconds, self.threads), default=0) < 1:
            raise ConfigError("--seconds and --threads are at least 1")


def main(arguments: Arguments) -> None:
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # what both backends go by
    rows = []
    for seconds in arguments.seconds:
        with TemporaryDirectory() as folder:
            rows.append([f"{seconds:g}", *_costs(arguments, seconds, Path(folder))])
    heads = ["seconds of audio"]
    heads += [f"{verb}: {cost}" for verb in ("encode", "decode") for cost in ("s", "peak MB")]
    print(table(heads, rows, are_numbers=True))


def _costs(arguments: Arguments, seconds: float, folder: Path) -> list[str]:
    source, coded, heard = (folder / name for name in ("source.wav", "coded.dvq", "heard.wav"))
    _write_speech(source, round(seconds * _RATE_HZ))
    cells = []
    for verb, paths in (("encode", (source, coded)), ("decode", (coded, heard))):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            work = process.submit(_cost, verb, arguments.model, arguments.backend, *paths)
            elapsed_seconds, peak_mb = work.result()
        cells += [f"{elapsed_seconds:.2f}", f"{peak_mb:.0f}"]
    lengths = [soundfile.info(str(path)).frames for path in (source, heard)]
    if lengths[0] != lengths[1]:
        raise DiveqCodecError(f"{lengths[0]} samples came back as {lengths[1]}")
    return cells


def _write_speech(path: Path, samples: int) -> None:
    """The recordings of `samples/`, over and over."""
    speech = np.concatenate([soundfile.read(clip)[0] for clip in sorted(_SAMPLES.glob("*.flac"))])
    with soundfile.SoundFile(str(path), "w", _RATE_HZ, 1, "PCM_16") as file:
        for start in range(0, samples, len(speech)):
            file.write(speech[: samples - start])


def _cost(verb: str, model: str, backend: str, source: Path, target: Path) -> tuple[float, float]:
    """Seconds without start and loading, and the most memory that this process held, in MB."""
    codec = Codec.load(model, device="cpu", backend=backend)
    started = time.perf_counter()
    (codec.encode_file if verb == "encode" else codec.decode_file)(source, target)
    return time.perf_counter() - started, peak_memory_mb()


if __name__ == "__main__":
    run_script(main, Arguments)
