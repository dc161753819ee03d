"""Train a codec on a folder of speech, fine-tune one, or go on with a run; ends with a model file
and its scores.

    accelerate launch -m recipes.runs.folder.train --data speech/train \\
        --validation speech/val --out runs/mine \\
        --settings.max-minutes 30

Settings follow from the machine: on a GPU large batches and all discriminators, on CPU cores small
batches and one spectral discriminator a step; `--dry-run` says what the run would take.
`--settings.max-minutes` is all of it, entropy tables and scores too, but for reading the audio.
Stopped at any moment (SIGTERM, Ctrl-C, a crash), the same command goes on from the last saved
state. In `--out`: `manifest.jsonl`, `rejected.txt`, `state.pt` (all that is needed to go on,
discriminators included), `metrics.jsonl`, a TensorBoard folder, and at the end
`model.safetensors`, which `Codec.load` and `diveq-codec --model` take,
`discriminators.safetensors` and `curves.png`. On several machines, all see the same `--out`.

Several processes on CPUs are started by torchrun; `accelerate launch --cpu` starts only one,
without a word:

    torchrun --nproc_per_node 2 -m recipes.runs.folder.train --cpu --data …
"""

from __future__ import annotations

import dataclasses
import math
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from codec import PRESETS
from codec.errors import ConfigError
from codec.files.stop import Stopped
from codec.layouts.config import ModelConfig
from codec.layouts.stage_kinds import StageKind
from codec.model_lookup import MODEL_FILE
from codec.training.clock import Clock
from codec.training.data.augment import AugmentConfig
from codec.training.data.clips import Manifest
from codec.training.data.crop_plan import CropConfig
from codec.training.plot import main as plot
from codec.training.run import train
from codec.training.settings import TrainingConfig
from codec.training.state import (
    RunStart,
    load_discriminators,
    load_state,
    open_run,
    save_discriminators,
)
from codec.training.trainer import Batches, Trainer
from codec.training.validation import HeldOut, Validator, audio_files, read_held_out

from ...held_out import spread
from ...rates import StageCounts
from ...run_script import run_script, score_workers
from .dry_run import expectation, settings_line
from .model_file import export, stage_counts_of
from .processor import fastest_precision, keep_freed_memory, threads_of_launched
from .run_manifest import are_apart, run_manifest
from .step_crops import Place, Share, open_batches

# Of the minutes that a run is given, for entropy tables, networks and the last scores.
_END_SHARE, _LEAST_END_MINUTES, _MOST_END_MINUTES = 0.2, 1.0, 30.0

_VALIDATION_CLIPS = 12

DISCRIMINATORS = "discriminators.safetensors"
CURVES = "curves.png"

# The first process reads a corpus, or validates, while the others wait; NCCL's own limit is 10
# minutes.
_LONGEST_WAIT = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to train on, where to put it, and how."""

    data: Path
    """Folder tree of audio to train on."""
    subsets: tuple[str, ...] = ()
    """Folders in `data` to train on; none given is all of it."""
    validation: Path
    """Folder tree of audio by other speakers, to measure on."""
    out: Path
    """The run's folder; if it holds a state, the run goes on from there."""
    preset: Literal[
        "speech_16khz",
        "speech_16khz_25hz",
        "speech_16khz_live",
        "speech_24khz",
        "dac_16khz",
        "tiny",
    ] = "speech_16khz"
    kind: StageKind = "diveq"
    """The kind of every quantizer stage."""
    stages: int | None = None
    """Quantizer stages; None leaves the preset's."""
    bits: int | None = None
    """Bits of every stage; None leaves the preset's."""
    init: Path | None = None
    """Fine-tune: start from another run's folder or state, full or portable
    (`codec.training.state`): averaged weights and discriminators, with fresh optimisers and
    schedule. Or from a model file, which has no discriminators. A model that looks less far ahead
    (`speech_16khz_live`) can start from one that looks further, one with more blocks from one with
    fewer, and one whose latents have more frames (`speech_16khz_25hz`) from one whose have fewer,
    with stages that start from data.
    """
    init_discriminators: Path | None = None
    """Discriminators to start from, as a run leaves them beside its model."""
    cpu: bool = False
    """Train on the CPU even where there is a GPU. Several processes: with torchrun, not with
    accelerate launch.
    """
    threads: int | None = None
    """CPU threads of each process; None: all processors, shared by the processes, or what
    OMP_NUM_THREADS says, but for the 1 that launchers set.
    """
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""
    bank: Place = "auto"
    """Where training audio is kept: decoded on the device, decoded in a mapped file ("memory"), or
    not decoded but read from the audio files. An hour takes 115 MB at 16 kHz. Auto: the device,
    unless it is a GPU with less than twice that free; then memory. Workers make the crops of the
    latter two.
    """
    data_workers: int = 4
    """Processes that make crops, for each training process."""
    level_dbfs: tuple[float, float] = (-45.0, -8.0)
    """Speech is brought to a level drawn from this range."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    settings: TrainingConfig = field(
        default_factory=lambda: settings_of_this_machine(max_minutes=30.0)
    )

    validation_clips: int | None = None
    """How many clips are measured during the run; None: 12, and fewer where it lasts fewer
    minutes.
    """
    final_clips: int | None = None
    """How many clips are measured at its end; None is all."""
    stage_counts: StageCounts = (1, 2, 3, 4, 6, 8, 10, 12, 14, 20, 28)
    validate_every_minutes: float = 10.0
    save_every_minutes: float = 5.0
    log_every_steps: int = 100
    dry_run: bool = False
    """Take a few steps, print what the run would take (steps, time, memory, disk), and leave
    nothing behind.
    """
    workers: int = 2
    """Processes that score, and that read files for the manifest; 1 does both in this one."""

    def __post_init__(self) -> None:
        for name in ("threads", "stages", "bits", "validation_clips", "final_clips", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is at least 1, not {value}")
        if self.data_workers < 0:
            raise ConfigError(f"data_workers is at least 0, not {self.data_workers}")


def main(arguments: Arguments) -> None:
    if arguments.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            _main(dataclasses.replace(arguments, out=Path(folder), bank="files", data_workers=0))
    else:
        _main(arguments)


def _main(arguments: Arguments) -> None:
    keep_freed_memory()
    held_out = audio_files(arguments.validation)  # before an hour of reading the other ones
    counts = stage_counts_of(model_config(arguments), arguments.stage_counts)
    if threads := arguments.threads or threads_of_launched():
        torch.set_num_threads(threads)
    run = _open(arguments)
    is_first = run.trainer.accelerator.is_main_process
    if is_first:
        _say(settings_line(arguments.settings, run.trainer.device))
        if not are_apart(arguments.data, arguments.subsets, arguments.validation):
            _say("clips to measure on are among those to train on: scores will flatter")
    if arguments.dry_run:
        end_seconds = _end_seconds if arguments.settings.max_minutes else None
        _say(expectation(run.trainer, run.batches, run.manifest, end_seconds))
        return
    if run.trainer.steps and is_first:
        minutes = run.start.elapsed_s / 60
        _say(f"goes on at step {run.trainer.steps}, after {minutes:.1f} minutes of training")
    clips = []
    if is_first:
        rate = run.trainer.model.config.sample_rate_hz
        clips = read_held_out(spread(held_out, arguments.final_clips), rate)
    if is_first and run.is_over:
        _say("its training is over: model, curves and scores are made again")
    over = monotonic() + 60 * (arguments.settings.max_minutes or math.inf) - run.start.elapsed_s
    with score_workers(arguments.workers) as workers:
        validated = spread(clips, _validation_clips(arguments))
        _train(arguments, run, Validator(validated, counts, workers=workers))
        if is_first:
            _finish(arguments.out, run.manifest, clips, counts, workers, over)


@dataclass(frozen=True)
class _Run:
    """What trains, on what, and where it goes on."""

    trainer: Trainer
    batches: Batches
    manifest: Manifest
    start: RunStart

    @property
    def is_over(self) -> bool:
        return Clock(self.trainer, self.start.elapsed_s).progress >= 1


def _open(arguments: Arguments) -> _Run:
    settings, config = _of_training(arguments.settings), model_config(arguments)
    accelerator = Accelerator(
        cpu=arguments.cpu,
        mixed_precision=settings.precision,
        log_with="tensorboard",
        project_dir=str(arguments.out),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )
    share = _share(accelerator, settings)
    with accelerator.main_process_first():
        manifest = run_manifest(
            arguments.out,
            arguments.data,
            arguments.subsets,
            speakers=arguments.speakers,
            jobs=arguments.workers,
        )
        batches = open_batches(
            manifest,
            _crop_config(arguments, config),
            share,
            place=arguments.bank,
            cache_folder=arguments.out,
            device=accelerator.device,
            workers=arguments.data_workers,
        )
    trainer = Trainer(config, settings, accelerator)
    start = open_run(trainer, arguments.out, init=arguments.init)
    if arguments.init_discriminators and not trainer.steps:
        load_discriminators(trainer, arguments.init_discriminators)
    return _Run(trainer, batches, manifest, start)


def _train(arguments: Arguments, run: _Run, validate: Validator) -> None:
    stop_signal = train(
        run.trainer,
        run.batches,
        arguments.out,
        validate=validate,
        elapsed_s=run.start.elapsed_s,
        origin=run.start.origin,
        log_every_steps=arguments.log_every_steps,
        save_every_minutes=arguments.save_every_minutes,
        validate_every_minutes=arguments.validate_every_minutes,
        data_facts=_data_facts(arguments, run.manifest),
    )
    if stop_signal:
        at = f"stopped at step {run.trainer.steps}"
        raise Stopped(stop_signal, f"{at}, and saved: the same command goes on from here")


def _finish(
    folder: Path,
    manifest: Manifest,
    clips: Sequence[HeldOut],
    stage_counts: Sequence[int],
    workers: Executor | None,
    over: float,
) -> None:
    """Write model, discriminators and curves, until about `over` (`time.monotonic`)."""
    state = load_state(folder)
    save_discriminators(state, folder / DISCRIMINATORS)
    export(
        state,
        manifest,
        clips,
        folder / MODEL_FILE,
        stage_counts=stage_counts,
        workers=workers,
        overwrite=True,
        until=_until(over, state),
    )
    plot(folder, folder / CURVES, force=True)
    _say(f"made {folder / MODEL_FILE}, {folder / DISCRIMINATORS} and {folder / CURVES}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def settings_of_this_machine(**changes: Any) -> TrainingConfig:
    """Settings for a GPU where there is one; else for CPU cores, in the precision that is faster
    there.
    """
    if torch.cuda.is_available():
        return TrainingConfig(precision="bf16", **changes)
    return TrainingConfig.for_cpu(precision=fastest_precision(), **changes)


def _end_minutes(settings: TrainingConfig) -> float:
    """How much of the run's time is left for what comes after training; infinite where it is steps
    that are counted.
    """
    if settings.max_minutes is None:
        return math.inf
    return min(_END_SHARE * settings.max_minutes, _MOST_END_MINUTES)


def _end_seconds(training_seconds: float) -> float:
    """At most so long is what comes after training that lasted so long."""
    share = training_seconds * _END_SHARE / (1 - _END_SHARE)
    return min(max(share, 60 * _LEAST_END_MINUTES), 60 * _MOST_END_MINUTES)


def _of_training(settings: TrainingConfig) -> TrainingConfig:
    """The settings without the minutes of the end."""
    if settings.max_minutes is None:
        return settings
    minutes = settings.max_minutes - _end_minutes(settings)
    return dataclasses.replace(settings, max_minutes=minutes)


def _validation_clips(arguments: Arguments) -> int:
    if arguments.validation_clips is not None:
        return arguments.validation_clips
    minutes = arguments.settings.max_minutes or _VALIDATION_CLIPS
    return min(max(2, round(minutes)), _VALIDATION_CLIPS)


def _until(over: float, state: dict[str, Any]) -> float:
    """When the end of a run should be over: with the run's minutes, or sooner where steps ended it
    early, or later where it was late.
    """
    if over == math.inf:
        return over
    most, now = _end_seconds(state["elapsed_s"]), monotonic()
    return now + min(max(over - now, most / 2), most)


def model_config(arguments: Arguments) -> ModelConfig:
    """The preset, with the number and size of stages asked for."""
    config = PRESETS[arguments.preset](kind=arguments.kind)
    stage = config.stages[0]
    if arguments.bits is not None:
        stage = dataclasses.replace(stage, bits=arguments.bits)
    stages = len(config.stages) if arguments.stages is None else arguments.stages
    return dataclasses.replace(config, stages=(stage,) * stages)


def _share(accelerator: Accelerator, settings: TrainingConfig) -> Share:
    per_process, rest = divmod(settings.batch_size, accelerator.num_processes)
    if rest or per_process % settings.accumulate:
        raise ConfigError(
            f"batch_size {settings.batch_size} cannot be shared by {accelerator.num_processes} "
            f"processes "
            f"with {settings.accumulate} micro-batches each"
        )
    return Share(
        batch_size=settings.batch_size,
        processes=accelerator.num_processes,
        index=accelerator.process_index,
    )


def _crop_config(arguments: Arguments, config: ModelConfig) -> CropConfig:
    return CropConfig(
        sample_rate_hz=config.sample_rate_hz,
        segment_samples=round(arguments.settings.segment_seconds * config.frame_rate_hz)
        * config.hop,
        seed=arguments.settings.seed,
        level_dbfs=arguments.level_dbfs,
        augment=arguments.augment,
    )


def _data_facts(arguments: Arguments, manifest: Manifest) -> dict[str, Any]:
    return {
        "folder": arguments.data.name,
        "subsets": list(arguments.subsets),
        "clips": len(manifest.clips),
        "hours": manifest.seconds / 3600,
    }


if __name__ == "__main__":
    run_script(main, Arguments)
