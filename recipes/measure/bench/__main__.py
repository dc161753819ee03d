"""Time the presets beside their neural peers, all with random weights, on the same cores in the
same run.

python -m recipes.measure.bench --threads 2 --out runs/bench

Prints tables; with --out writes bench.json, bench.md and, of how cost grows, growth.png.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from codec.errors import ConfigError
from codec.layouts.presets import PRESETS
from codec.training.to_model_file import code_commit
from codec.training.validation import codec_of

from ...run_script import run_script
from ..compare.neural import LAYOUTS
from .candidates import find_candidates, noise, random_checkpoint
from .growth import measure_growth
from .machine import machine_facts
from .report import (
    draw_growth,
    floor_lines,
    growth_table,
    ratio_lines,
    ratios,
    share_lines,
    speed_table,
    write,
)
from .shares import encode_shares, operation_shares
from .timing import measure

_LENGTHS = (1.0, 10.0, 60.0, 600.0)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to time, and for how long."""

    threads: int = 2
    """Processor threads of all codecs."""
    short: bool = False
    """10 s of audio three times, and nothing on how cost grows."""
    out: Path | None = None
    """Folder for the results."""
    presets: tuple[str, ...] = ("speech_16khz",)
    """Of ours; the first is the one that is profiled, and whose growth is measured."""
    backends: tuple[Literal["torch", "onnx"], ...] = ("torch",)
    """What computes ours; the growth is measured with the first."""
    peers: tuple[str, ...] = tuple(LAYOUTS)
    """Those that are not installed are named."""
    seconds: tuple[float, ...] = (10.0, 60.0)
    """Lengths of audio."""
    repeats: int = 5
    hours: float = 0.0
    """Let the lengths of which the cost is measured go on to this, beyond ten minutes."""

    def __post_init__(self) -> None:
        for given, known in ((self.presets, PRESETS), (self.peers, LAYOUTS)):
            if unknown := [name for name in given if name not in known]:
                raise ConfigError(f"{', '.join(unknown)} is unknown; known: {', '.join(known)}")
        if not (self.presets and self.backends and self.seconds):
            raise ConfigError("give at least one preset, one backend and one length")
        if self.threads < 1 or self.repeats < 1 or min(self.seconds) < 1:
            raise ConfigError("--threads and --repeats are at least 1, --seconds at least 1 s")


def main(arguments: Arguments) -> None:
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # what our onnx backend goes by
    result: dict[str, Any] = {"format": "diveq-codec benchmark 1", "code": code_commit()}
    text: list[str] = []
    for section in (_speeds, _shares) if arguments.short else (_speeds, _shares, _growth):
        facts, lines = section(arguments)
        print("\n".join(lines), flush=True)
        result |= facts
        text += lines
    if arguments.out:
        write(arguments.out / "bench.json", json.dumps(result, indent=1).encode() + b"\n")
        write(arguments.out / "bench.md", "\n".join(text).encode() + b"\n")


def _speeds(arguments: Arguments) -> tuple[dict[str, Any], list[str]]:
    candidates, skipped = find_candidates(arguments.presets, arguments.backends, arguments.peers)
    speeds, rates = [], []
    for seconds in (10.0,) if arguments.short else arguments.seconds:
        found, rate = measure(candidates, seconds, 3 if arguments.short else arguments.repeats)
        speeds += found
        rates.append(rate)
    machine = machine_facts(arguments.threads)
    compared = list(ratios(speeds))
    lines = [
        f"{machine['processor']}, {arguments.threads} threads, PyTorch {machine['torch']}, random "
        f"weights",
        "",
        speed_table(candidates, speeds),
        "",
        *ratio_lines(compared),
        "",
        *floor_lines(candidates, speeds, rates[-1]),
        *(f"not timed: {name}: {reason}" for name, reason in skipped.items()),
    ]
    result = {
        "machine": machine | {"multiply_adds_per_second": rates[-1]},
        "codecs": [
            {
                name: getattr(candidate, name)
                for name in ("name", "note", "parameters", "encode_work", "decode_work")
            }
            for candidate in candidates
        ],
        "speeds": [
            dataclasses.asdict(s) | {"encode": s.encode, "decode": s.decode} for s in speeds
        ],
        "ratios": compared,
        "skipped": skipped,
    }
    return result, lines


def _shares(arguments: Arguments) -> tuple[dict[str, Any], list[str]]:
    seconds = 10.0 if arguments.short else max(arguments.seconds)
    codec = codec_of(random_checkpoint(PRESETS[arguments.presets[0]]()), device="cpu")
    rate = codec.config.sample_rate_hz
    wave = noise(seconds, rate)
    encoded = codec.encode(wave, sample_rate_hz=rate)
    parts = encode_shares(codec, seconds, arguments.repeats)
    verbs = {
        "encode": operation_shares(lambda: codec.encode(wave, sample_rate_hz=rate)),
        "decode": operation_shares(lambda: codec.decode(encoded)),
    }
    lines = ["", *share_lines(f"{arguments.presets[0]}, encoding a file of {seconds:g} s:", parts)]
    for verb, shares in verbs.items():
        lines += share_lines(f"operations of {verb}:", shares)
    return {"encode_shares": parts, "operation_shares": verbs}, lines


def _growth(arguments: Arguments) -> tuple[dict[str, Any], list[str]]:
    lengths = [*_LENGTHS, *([arguments.hours * 3600] if arguments.hours else [])]
    preset, threads = arguments.presets[0], arguments.threads
    points = measure_growth(preset, lengths, threads, arguments.backends[0])
    if arguments.out:
        picture = io.BytesIO()
        draw_growth(points, f"{preset}, {threads} threads where not varied").savefig(
            picture, format="png"
        )
        write(arguments.out / "growth.png", picture.getvalue())
    return {"growth": [dataclasses.asdict(point) for point in points]}, ["", growth_table(points)]


if __name__ == "__main__":
    run_script(main, Arguments)
