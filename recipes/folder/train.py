"""Train a codec on a folder of speech, fine-tune one, or go on with a run; ends with a model file and its scores.

    accelerate launch -m recipes.folder.train --data speech/train --validation speech/val --out runs/mine \\
        --settings.max-minutes 30 --settings.precision bf16

Stopped at any moment (SIGTERM, a crash), the same command goes on from the last saved state. In `--out`:
`manifest.jsonl`, `rejected.txt`, `state.pt` (all that is needed to go on, discriminators included), `metrics.jsonl`,
a TensorBoard folder, and at the end `model.safetensors`, which `Codec.load` and `diveq-codec --model` take.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from accelerate import Accelerator

from codec import PRESETS
from codec.config import ModelConfig, StageKind
from codec.errors import ConfigError
from codec.training.augment import AugmentConfig
from codec.training.clips import Manifest, read_manifest, write_manifest
from codec.training.crop_plan import CropConfig
from codec.training.manifest import SPEAKER_RULES, build_manifest
from codec.training.memory_bank import MemoryBank
from codec.training.run import train
from codec.training.settings import TrainingConfig
from codec.training.state import STATE, load_state
from codec.training.trainer import Trainer
from codec.training.validation import Validator, read_clips

from ..run_script import run_script, score_workers
from .export import MANIFEST, export


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to train on, where to put it, and how."""

    data: Path
    """Folder tree of audio to train on."""
    validation: Path
    """Folder tree of audio by other speakers, to measure on."""
    out: Path
    """The run's folder; if it holds a state, the run goes on from there."""
    preset: Literal["speech_16khz", "speech_16khz_small", "speech_24khz", "dac_16khz", "tiny"] = "speech_16khz"
    kind: StageKind = "diveq"
    """The kind of every quantizer stage."""
    init: Path | None = None
    """Fine-tune: start from another run's state (weights and discriminators; fresh optimisers and schedule)."""
    cpu: bool = False
    """Train on the CPU even where there is a GPU."""
    threads: int | None = None
    """CPU threads; None leaves PyTorch's choice."""
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""
    level_dbfs: tuple[float, float] = (-45.0, -8.0)
    """Speech is brought to a level drawn from this range."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    settings: TrainingConfig = field(default_factory=lambda: TrainingConfig(max_minutes=30.0))

    validation_clips: int = 12
    """How many clips are measured during the run; the end measures all."""
    stage_counts: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 10, 12)
    validate_every_minutes: float = 10.0
    save_every_minutes: float = 5.0
    log_every_steps: int = 100
    workers: int = 2
    """Processes that score."""


def main(arguments: Arguments) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = arguments.settings
    accelerator = Accelerator(
        cpu=arguments.cpu, mixed_precision=settings.precision, log_with="tensorboard", project_dir=str(arguments.out)
    )
    per_process, rest = divmod(settings.batch_size, accelerator.num_processes)
    if rest or per_process % settings.accumulate:
        raise ConfigError(
            f"batch_size {settings.batch_size} cannot be shared by {accelerator.num_processes} processes "
            f"with {settings.accumulate} micro-batches each"
        )
    config = PRESETS[arguments.preset](kind=arguments.kind)
    with accelerator.main_process_first():
        manifest = _manifest(arguments)
        bank = _bank(arguments, config, manifest).to(accelerator.device)
    trainer = Trainer(config, settings, accelerator)
    elapsed_s = _restore(trainer, arguments)

    def batches(step: int) -> torch.Tensor:
        first = step * settings.batch_size + accelerator.process_index * per_process
        return bank.crops(0, range(first, first + per_process))

    clips = read_clips(arguments.validation, config.sample_rate_hz)
    some = clips[:: -(-len(clips) // arguments.validation_clips)]
    counts = [count for count in arguments.stage_counts if count <= len(config.stages)]
    with score_workers(arguments.workers) as workers:
        done = train(
            trainer,
            batches,
            arguments.out,
            validate=Validator(some, counts, workers=workers),
            elapsed_s=elapsed_s,
            log_every_steps=arguments.log_every_steps,
            save_every_minutes=arguments.save_every_minutes,
            validate_every_minutes=arguments.validate_every_minutes,
            data_facts={"folder": arguments.data.name, "clips": len(manifest.clips), "hours": manifest.seconds / 3600},
        )
        if done and accelerator.is_main_process:
            model = arguments.out / "model.safetensors"
            export(load_state(arguments.out), manifest, clips, model, stage_counts=counts, workers=workers)


def _manifest(arguments: Arguments) -> Manifest:
    path = arguments.out / MANIFEST
    if not path.exists():
        arguments.out.mkdir(parents=True, exist_ok=True)
        manifest, rejected = build_manifest(
            arguments.data, speaker_rule=SPEAKER_RULES[arguments.speakers], jobs=arguments.workers
        )
        lines = [f"{file.path}: {file.reason}\n" for file in rejected]
        (arguments.out / "rejected.txt").write_text("".join(lines), encoding="utf-8")
        write_manifest(manifest, path)
    return read_manifest(path, root=arguments.data)


def _bank(arguments: Arguments, config: ModelConfig, manifest: Manifest) -> MemoryBank:
    crops = CropConfig(
        sample_rate_hz=config.sample_rate_hz,
        segment_samples=round(arguments.settings.segment_seconds * config.frame_rate_hz) * config.hop,
        seed=arguments.settings.seed,
        level_dbfs=arguments.level_dbfs,
        augment=arguments.augment,
    )
    return MemoryBank.load(manifest, crops, cache_folder=arguments.out)


def _restore(trainer: Trainer, arguments: Arguments) -> float:
    """Go on with this run, or start from another's weights; returns the seconds trained so far."""
    if (arguments.out / STATE).exists():
        state = load_state(arguments.out)
        trainer.load_state_dict(state["trainer"])
        return state["elapsed_s"]
    if arguments.init:
        state = load_state(arguments.init)
        if state["model_config"] != trainer.model.config.to_dict():
            raise ConfigError(f"{arguments.init} is a state of another model configuration; choose its preset and kind")
        trainer.start_from(state["trainer"])
    return 0.0


if __name__ == "__main__":
    run_script(main, Arguments)
