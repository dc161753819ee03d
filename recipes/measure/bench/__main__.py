"""Time our models beside neural codecs, on the same cores or GPU in the same run.

python -m recipes.measure.bench --threads 1 --out runs/bench.json
python -m recipes.measure.bench --device cuda --clips 1 16 256

Prints tables; --out keeps all times.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch

from codec import atomic_output
from codec.errors import ConfigError
from codec.model_lookup import DEFAULT_MODEL
from codec.training.to_model_file import code_commit

from ...markdown import table
from ...run_script import run_script
from .rounds import Ratio, paired_ratio, times_in_turn
from .timed_systems import TimedSystem, find_systems, speech


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to time, and on what."""

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    """Ours: shipped models' names, or model files."""
    backends: tuple[Literal["torch", "onnx"], ...] = ("torch", "onnx")
    """What computes ours."""
    peers: tuple[Literal["encodec", "dac", "mimi", "snac"], ...] = ("encodec", "dac")
    """Those that are not installed are named."""
    clips: tuple[int, ...] = (1,)
    """Sizes of batches."""
    seconds: float = 10.0
    """Length of a clip."""
    rounds: int = 10
    threads: int = 1
    """Processor threads of all codecs."""
    device: str = "cpu"
    """As PyTorch names it: cpu, cuda, cuda:1."""
    out: Path | None = None
    """A JSON file for all times; one that is there is replaced."""

    def __post_init__(self) -> None:
        if not (self.models and self.backends and self.clips):
            raise ConfigError("give at least one model, one backend and one size of batches")
        if min(*self.clips, self.rounds, self.threads) < 1 or self.seconds < 1:
            raise ConfigError("--clips, --rounds, --threads and --seconds are at least 1")


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds in each round of one system on one size of batches."""

    system: str
    clips: int
    encode: list[float]
    decode: list[float]


def main(arguments: Arguments) -> None:
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # what our onnx backend goes by
    systems, missing = find_systems(
        arguments.models, arguments.backends, arguments.peers, arguments.device
    )
    machine = f"{_processor(arguments.device)}, {arguments.threads} threads, PyTorch"
    machine += f" {torch.__version__}"
    print(machine, *(f"not timed: {reason}" for reason in missing), sep="\n", end="\n\n")
    print(_systems_table(systems), flush=True)
    found: list[Times] = []
    for clips in arguments.clips:
        times = _time(systems, clips, arguments)
        found += times
        audio_seconds = clips * arguments.seconds
        print(f"\n{clips} x {arguments.seconds:g} s, x real time (medians):\n")
        print(_speed_table(times, audio_seconds))
        if ratios := _ratio_table(systems, times):
            print("\nTimes as fast, round by round, with 95 % intervals:\n")
            print(ratios, flush=True)
    if arguments.out:
        facts = {"code": code_commit(), "machine": machine, "clip_seconds": arguments.seconds}
        result: dict[str, Any] = {**facts, "times": [asdict(times) for times in found]}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(arguments.out, overwrite=True) as file:
            file.write(json.dumps(result, indent=1).encode() + b"\n")


def _processor(device: str) -> str:
    """Its name, where the system tells."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    for line in facts.read_text().splitlines() if facts.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _time(systems: Sequence[TimedSystem], clips: int, arguments: Arguments) -> list[Times]:
    calls: list[Callable[[], object]] = []
    for system in systems:
        waves = speech(clips, arguments.seconds, system.sample_rate_hz)
        try:
            coded = system.encode(waves)  # the first call also finds its algorithms and memory
            system.decode(coded)
        except torch.OutOfMemoryError as error:
            raise ConfigError(f"{system.name}: no memory for {clips} clips at once") from error
        calls += [partial(system.encode, waves), partial(system.decode, coded)]
    times = times_in_turn(calls, arguments.rounds)
    return [
        Times(system=system.name, clips=clips, encode=encode, decode=decode)
        for system, encode, decode in zip(systems, times[::2], times[1::2], strict=True)
    ]


def _systems_table(systems: Sequence[TimedSystem]) -> str:
    heads = ["codec", "coded at", "M weights", "G multiply-adds per s of audio: encode", "decode"]
    rows = []
    for system in systems:
        numbers = (system.parameters / 1e6, system.encode_work / 1e9, system.decode_work / 1e9)
        rows.append([system.name, system.note, *(f"{number:.2f}" for number in numbers)])
    return table(heads, rows)


def _speed_table(times: Sequence[Times], audio_seconds: float) -> str:
    rows = [
        [one.system, *(f"{audio_seconds / median(of):.3g}" for of in (one.encode, one.decode))]
        for one in times
    ]
    return table(["codec", "encode", "decode"], rows)


def _ratio_table(systems: Sequence[TimedSystem], times: Sequence[Times]) -> str | None:
    """Each of ours beside each peer; nothing without either."""
    ours, peers = (
        [one for system, one in zip(systems, times, strict=True) if system.is_ours is are_ours]
        for are_ours in (True, False)
    )
    rows: list[list[str]] = []
    for one in ours:
        for peer in peers:
            ratios: list[Ratio] = [
                paired_ratio(peer.encode, one.encode),
                paired_ratio(peer.decode, one.decode),
            ]
            rows.append([one.system, peer.system, *map(str, ratios)])
    return table(["codec", "as", "encode", "decode"], rows) if rows else None


if __name__ == "__main__":
    run_script(main, Arguments)
