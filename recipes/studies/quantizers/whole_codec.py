"""Train the same codec with each method's quantizer in it, by the project's trainer, and score
decoded files.

    python -m recipes.studies.quantizers.whole_codec residual \\
        --data speech/train --validation speech/val --out runs/study


"residual": 12 stages of 10 bits. "one-codebook": one stage of 8 to 13 bits, as in the DiVeQ paper.
Encoder, decoder, data, steps, losses, replacement of codewords and the state before the first step
are the same for all methods; runs are done one after the other, each in a folder of its own, and a
stopped study goes on where it was. Scores, and code use, perplexity and error per stage over the
training, go to `--results`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import tyro

from codec import PRESETS, ConfigError
from codec.training.data.manifest import SPEAKER_RULES, build_manifest
from codec.training.settings import TrainingConfig
from codec.training.validation import HeldOut, audio_files, read_clip, read_held_out

from ...held_out import spread
from ...rates import StageCounts
from ...run_script import run_script, score_workers
from .baselines import COMMITMENT
from .codec_runs import CodecRun, CodecStart, Setup, make_start, train_and_score
from .codec_scores import Yardstick
from .methods import METHODS, Method
from .stored_results import plain, read_results


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which codecs to train, and on what."""

    setting: tyro.conf.Positional[Literal["one-codebook", "residual"]]
    data: Path
    """Folder tree of audio to train on."""
    validation: Path
    """Folder tree of audio by other speakers, to measure on."""
    out: Path
    """The folder with a folder per run."""
    results: Path | None = None
    """One JSON object per run is added to this file; by default to codec.jsonl in `out`."""
    methods: tuple[Method, ...] = METHODS
    bits: tuple[int, ...] = ()
    """Bits of each stage; by default 10 for the residual codec, and 8 to 13 for one codebook."""
    stages: int = 12
    """Of the residual codec."""
    seeds: tuple[int, ...] = (0, 1, 2)
    start: CodecStart = "kmeans"
    """Codewords before the first step: from k-means of the stage's latents, in tour order, or
    Gaussian.
    """
    commitment: float = COMMITMENT
    """Weight of the commitment loss of the methods that have one; the log-mel loss has 15."""
    preset: str = "speech_16khz"
    """The codec around the quantizer."""
    settings: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(steps=20_000, precision="bf16", adversarial_from=1.0)
    )
    """How each run trains; its seed is one of `seeds`. By default without discriminators."""
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""
    stage_counts: StageCounts = (1, 2, 3, 4, 6, 8, 10, 12)
    """At which numbers of stages to measure."""
    clips: int | None = None
    """How many clips to measure on; None is all."""
    clip_seconds: float | None = None
    """How much of each clip, from its beginning; None is the whole clip."""
    table_clips: int = 400
    """On how many clips of the training data entropy tables are fitted."""
    cpu: bool = False
    workers: int = 4
    """Processes that read and score; 1 does it all in this one."""

    @property
    def results_file(self) -> Path:
        return self.results or self.out / "codec.jsonl"


def main(arguments: Arguments) -> None:
    if arguments.preset not in PRESETS:
        raise ConfigError(f"there is no preset {arguments.preset!r}; presets: {', '.join(PRESETS)}")
    if arguments.settings.steps is None:
        raise ConfigError("runs are compared at equal steps: give --settings.steps")
    groups = [
        (start, _left(list(runs), arguments.results_file))
        for start, runs in groupby(all_runs(arguments), _start_run)
    ]
    if not any(left for _, left in groups):
        print(f"all of these runs are in {arguments.results_file}", file=sys.stderr)
        return
    arguments.results_file.parent.mkdir(parents=True, exist_ok=True)
    with score_workers(arguments.workers) as scorers:
        setup = _setup(arguments, scorers)
        for start, left in groups:
            if left and not _run_alike(start, left, setup, arguments):
                print("stopped; the same command goes on from there", file=sys.stderr)
                return


def all_runs(arguments: Arguments) -> Iterator[CodecRun]:
    """Seed by seed, so that what is done of a stopped study can be compared."""
    residual = arguments.setting == "residual"
    steps = arguments.settings.steps
    assert steps is not None
    for seed in arguments.seeds:
        for bits in arguments.bits or ((10,) if residual else tuple(range(8, 14))):
            for method in arguments.methods:
                if residual or method not in (
                    "diveq_sum",
                    "sf_first",
                    "sf_last",
                ):  # which one stage has not
                    yield CodecRun(
                        setting=arguments.setting,
                        method=method,
                        bits=bits,
                        seed=seed,
                        start=arguments.start,
                        stages=arguments.stages if residual else 1,
                        preset=arguments.preset,
                        steps=steps,
                        commitment=arguments.commitment,
                    )


def _start_run(run: CodecRun) -> CodecRun:
    return run.start_run


def _left(runs: list[CodecRun], results: Path) -> list[CodecRun]:
    """Those that are not in the file of results."""
    done = [result["run"] for result in read_results(results)]
    return [run for run in runs if dataclasses.asdict(run) not in done]


def _setup(arguments: Arguments, scorers: Executor | None) -> Setup:
    speaker_rule = SPEAKER_RULES[arguments.speakers]
    manifest, _ = build_manifest(arguments.data, speaker_rule=speaker_rule, jobs=arguments.workers)
    rate = PRESETS[arguments.preset]().sample_rate_hz
    clips = read_held_out(spread(audio_files(arguments.validation), arguments.clips), rate)
    most = None if arguments.clip_seconds is None else round(arguments.clip_seconds * rate)
    table_paths = [clip.path for clip in spread(manifest.clips, arguments.table_clips)]
    yardstick = Yardstick(
        held_out=[HeldOut(name=clip.name, wave=clip.wave[:most]) for clip in clips],
        table_waves=[read_clip(manifest.root / path, rate) for path in table_paths],
        stage_counts=arguments.stage_counts,
        scorers=scorers,
    )
    return Setup(
        settings=arguments.settings,
        manifest=manifest,
        yardstick=yardstick,
        out=arguments.out,
        cpu=arguments.cpu,
        readers=arguments.workers,
    )


def _run_alike(
    start_run: CodecRun, runs: list[CodecRun], setup: Setup, arguments: Arguments
) -> bool:
    """The runs of one start; False where a stop signal came."""
    is_new = bool(_left([start_run], arguments.results_file))
    start = make_start(runs[0], setup, scored=is_new)
    if start.result is not None:
        _add(arguments, start_run, start.result)
    for run in runs:
        print(run.name, file=sys.stderr, flush=True)
        result = train_and_score(run, setup, start)
        if result is None:
            return False
        _add(arguments, run, result)
    return True


def _add(arguments: Arguments, run: CodecRun, result: dict[str, Any]) -> None:
    settings = arguments.settings
    budget = {
        "batch": settings.batch_size,
        "seconds": settings.segment_seconds,
        "learning_rate": settings.learning_rate,
        "clips": arguments.clips,
        "clip_seconds": arguments.clip_seconds,
    }
    line = {"run": dataclasses.asdict(run), "budget": budget, **plain(result)}
    with arguments.results_file.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    run_script(main, Arguments)
