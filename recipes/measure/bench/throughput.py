"""Measure how many hours of audio a minute batches of clips take, on a GPU or a CPU, beside neural
peers.

python -m recipes.measure.bench.throughput --device cuda --out runs/throughput

Prints tables; with --out writes throughput.json and throughput.md.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec.checkpoint import DEFAULT_MODEL, Checkpoint, find_model
from codec.errors import ConfigError
from codec.training.to_model_file import code_commit
from codec.training.validation import audio_files, read_clip

from ...run_script import run_script
from ..compare.neural import LAYOUTS
from .candidates import OURS, noise
from .machine import machine_facts
from .means import MEANS, ON_GPU_ALONE, Gain, measure_means
from .report import write
from .routes import Route, our_routes, peer_routes
from .sweep import best, sweep
from .throughput_report import gain_table, stop_lines, throughput_ratios, throughput_table

_SMALL_BATCH = 8
"""Near the minute of audio that the product computes at once by default."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to measure, and where."""

    device: str = "cuda"
    """As PyTorch names it: cuda, cuda:1, cpu."""
    out: Path | None = None
    """Folder for the results."""
    model: str = DEFAULT_MODEL
    """Ours: a shipped model's name, or a model file."""
    peers: tuple[str, ...] = ("encodec", "dac")
    """Those that are not installed are named."""
    seconds: float = 10.0
    """Length of a clip."""
    most_clips: int = 1024
    """In a batch; sizes are doubled up to this, or to what fits."""
    means: tuple[str, ...] | None = None
    """What might make our network faster (default: all that the device has)."""
    speech: Path | None = None
    """Folder of recordings on which differing codes are counted; noise, which forgives more,
    without it.
    """
    repeats: int = 5

    def __post_init__(self) -> None:
        for given, known in ((self.peers, LAYOUTS), (self.means or (), MEANS)):
            if unknown := [name for name in given if name not in known]:
                raise ConfigError(f"{', '.join(unknown)} is unknown; known: {', '.join(known)}")
        if self.device == "auto":
            raise ConfigError("--device names the device that is measured: cuda, cuda:1, cpu")
        if self.seconds < 1 or self.most_clips < 1 or self.repeats < 1:
            raise ConfigError("--seconds, --most-clips and --repeats are at least 1")


def main(arguments: Arguments) -> None:
    path = find_model(arguments.model)
    checkpoint = Checkpoint.load(path)
    ours = our_routes(
        checkpoint, path.stem, arguments.device
    )  # tells where the device is not there
    device = torch.device(arguments.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    peers, skipped = _peers(arguments)
    found, stops = sweep(
        [*ours, *peers], device, arguments.seconds, arguments.most_clips, arguments.repeats
    )
    machine = machine_facts(torch.get_num_threads()) | {"device": _device_name(device)}
    ratios = list(throughput_ratios(found))
    lines = [
        f"{machine['device'] or machine['processor']}, PyTorch {machine['torch']}, clips of "
        f"{arguments.seconds:g} s",
        "",
        throughput_table(found),
        "",
        *(
            f"{r['ours']} codes {r['encode']:.1f} and decodes {r['decode']:.1f} times as much as "
            f"{r['peer']} "
            f"({r['span']}, each with its best batch)"
            for r in ratios
        ),
        *stop_lines(stops),
        *(f"not measured: {name}: {reason}" for name, reason in skipped.items()),
    ]
    print("\n".join(lines), flush=True)
    most = best(found, f"{OURS} {path.stem}", "network", "encode")
    gains, failed = _means(arguments, checkpoint, device, most.clips if most else 1)
    means_lines = ["", gain_table(gains, bool(arguments.speech))] if gains else []
    means_lines += [f"{name} failed: {reason}" for name, reason in failed.items()]
    print("\n".join(means_lines))
    if arguments.out:
        result: dict[str, Any] = {
            "format": "diveq-codec throughput 1",
            "code": code_commit(),
            "machine": machine,
            "clip_seconds": arguments.seconds,
            "throughputs": [
                dataclasses.asdict(p) | {"encode": p.encode, "decode": p.decode} for p in found
            ],
            "ratios": ratios,
            "stops": [dataclasses.asdict(stop) for stop in stops],
            "means": [dataclasses.asdict(gain) for gain in gains],
            "skipped": skipped | failed,
        }
        write(arguments.out / "throughput.json", json.dumps(result, indent=1).encode() + b"\n")
        write(arguments.out / "throughput.md", "\n".join([*lines, *means_lines]).encode() + b"\n")


def _peers(arguments: Arguments) -> tuple[list[Route], dict[str, str]]:
    """Those that are installed; and why the others are not measured, by their names."""
    routes: list[Route] = []
    skipped: dict[str, str] = {}
    for layout in (LAYOUTS[name] for name in arguments.peers):
        try:
            routes += peer_routes(layout, arguments.device)
        except ConfigError as error:
            skipped[layout.family] = str(error)
    return routes, skipped


def _means(
    arguments: Arguments, checkpoint: Checkpoint, device: torch.device, most_clips: int
) -> tuple[list[Gain], dict[str, str]]:
    """At a small batch, where starting operations costs most, and at the best one."""
    rate = checkpoint.config.sample_rate_hz
    names = arguments.means
    if names is None:
        names = tuple(name for name in MEANS if device.type == "cuda" or name not in ON_GPU_ALONE)
    gains: list[Gain] = []
    failed: dict[str, str] = {}
    for clips in sorted({min(_SMALL_BATCH, most_clips), most_clips}) if names else ():
        samples = round(arguments.seconds * rate)
        if arguments.speech:
            speech = np.concatenate(
                [read_clip(path, rate) for path in audio_files(arguments.speech)]
            )
            waves = np.resize(speech, (clips, samples))
        else:
            waves = noise(clips * arguments.seconds, rate)[: clips * samples].reshape(
                clips, samples
            )
        found, without = measure_means(checkpoint, names, device, waves, arguments.repeats)
        gains += found
        failed |= {f"{name}, {clips} clips": reason for name, reason in without.items()}
    return gains, failed


def _device_name(device: torch.device) -> str | None:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


if __name__ == "__main__":
    run_script(main, Arguments)
