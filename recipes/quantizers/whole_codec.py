"""Train the same codec with each method's quantizer in it, by the project's trainer, and score decoded files.

    python -m recipes.quantizers.whole_codec residual --data speech/train --validation speech/val --out runs/study
    python -m recipes.quantizers.whole_codec one-codebook --data speech/train --validation speech/val --out runs/study

"residual": 12 stages of 10 bits. "one-codebook": one stage of 8 to 13 bits, as in the DiVeQ paper. Encoder, decoder,
data, steps, losses, warm-up, start and replacement of codewords are the same for all methods; runs are done one after
the other, each in a folder of its own, and a stopped study goes on where it was. Scores go to `--results`, and code
use, perplexity and error per stage over the training are in each folder's `metrics.jsonl`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro
from accelerate import Accelerator

from codec import PRESETS, Codec, ConfigError
from codec.config import ModelConfig
from codec.quantizers import sort_codebook
from codec.training.clips import Manifest
from codec.training.crop_plan import CropConfig
from codec.training.export import fit_tables, to_checkpoint
from codec.training.manifest import SPEAKER_RULES, build_manifest
from codec.training.run import train
from codec.training.settings import TrainingConfig
from codec.training.state import open_run
from codec.training.trainer import Batches, Trainer
from codec.training.validation import HeldOut, Validator, audio_files, codec_of, rate_table, read_clip, read_held_out

from ..folder.batches import Share, open_batches
from ..held_out import spread
from ..run_script import run_script, score_workers
from .methods import METHODS, Method, converted, stage_configs

_TABLE_CLIPS = 400  # clips of the training data that entropy tables are fitted on


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
    results: Path = Path("recipes/quantizers/results/codec.jsonl")
    """One JSON object per run is added to this file."""
    methods: tuple[Method, ...] = METHODS
    bits: tuple[int, ...] = ()
    """Bits of each stage; by default 10 for the residual codec, and 8 to 13 for one codebook."""
    stages: int = 12
    """Of the residual codec."""
    seeds: tuple[int, ...] = (0, 1, 2)
    preset: str = "speech_16khz"
    """The codec around the quantizer."""
    settings: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(steps=20_000, precision="bf16", adversarial_from=1.0)
    )
    """How each run trains; its seed is one of `seeds`. By default without discriminators."""
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""
    clips: int | None = None
    """How many clips to measure on; None is all."""
    cpu: bool = False
    workers: int = 4
    """Processes that read and score."""


@dataclass(frozen=True, kw_only=True)
class CodecRun:
    """One codec of the study."""

    setting: str
    method: Method
    bits: int
    stages: int
    seed: int
    preset: str
    steps: int

    @property
    def name(self) -> str:
        return f"{self.setting}-{self.method}-{self.stages}x{self.bits}-{self.seed}"

    def config(self) -> ModelConfig:
        """The preset's codec with this run's stages."""
        base = PRESETS[self.preset]()
        dim = base.stages[0].dim
        return dataclasses.replace(base, stages=stage_configs(self.method, self.stages, bits=self.bits, dim=dim))


def main(arguments: Arguments) -> None:
    if arguments.preset not in PRESETS:
        raise ConfigError(f"there is no preset {arguments.preset!r}; presets: {', '.join(PRESETS)}")
    if arguments.settings.steps is None:
        raise ConfigError("runs are compared at equal steps: give --settings.steps")
    runs = [run for run in all_runs(arguments) if not _is_done(run, arguments.results)]
    if not runs:
        return
    manifest, _ = build_manifest(arguments.data, speaker_rule=SPEAKER_RULES[arguments.speakers], jobs=arguments.workers)
    paths = spread(audio_files(arguments.validation), arguments.clips)
    held_out = read_held_out(paths, PRESETS[arguments.preset]().sample_rate_hz)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(runs):
        print(f"{number + 1}/{len(runs)} {run.name}", file=sys.stderr, flush=True)
        rows = train_and_score(run, arguments, manifest, held_out)
        if rows is None:
            print(f"stopped; the same command goes on with {run.name}", file=sys.stderr)
            return
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": dataclasses.asdict(run), "data": arguments.data.name, "rows": rows}) + "\n")


def all_runs(arguments: Arguments) -> Iterator[CodecRun]:
    """Bits by bits and seed by seed, so that what is done of a stopped study can be compared."""
    residual = arguments.setting == "residual"
    steps = arguments.settings.steps
    assert steps is not None
    for bits in arguments.bits or ((10,) if residual else tuple(range(8, 14))):
        for seed in arguments.seeds:
            for method in arguments.methods:
                if residual or method not in ("diveq_sum", "sf_first", "sf_last"):  # which one stage has not
                    yield CodecRun(
                        setting=arguments.setting, method=method, bits=bits, seed=seed,
                        stages=arguments.stages if residual else 1, preset=arguments.preset, steps=steps,
                    )  # fmt: skip


def _is_done(run: CodecRun, results: Path) -> bool:
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    return dataclasses.asdict(run) in [json.loads(line)["run"] for line in lines]


def train_and_score(
    run: CodecRun, arguments: Arguments, manifest: Manifest, held_out: list[HeldOut]
) -> list[dict[str, Any]] | None:
    """The scores of one run at several numbers of stages; None where a stop signal came."""
    folder = arguments.out / run.name
    settings = dataclasses.replace(arguments.settings, seed=run.seed)
    accelerator = Accelerator(
        cpu=arguments.cpu, mixed_precision=settings.precision, log_with="tensorboard", project_dir=str(folder)
    )
    if accelerator.num_processes > 1 or settings.accumulate > 1:
        raise ConfigError("the baselines see one process and no micro-batches: start it alone, with accumulate 1")
    trainer = method_trainer(run, settings, accelerator)
    batches = _batches(trainer, manifest, arguments)
    begun = open_run(trainer, folder)
    counts = [count for count in (1, 2, 3, 4, 6, 8, 10, 12) if count <= run.stages]
    with score_workers(arguments.workers) as workers:
        done = train(
            trainer, batches, folder,
            validate=Validator(spread(held_out, 8), counts[-1:], audio_clips=0, workers=workers),
            elapsed_s=begun.elapsed_s, origin=begun.origin, validate_every_minutes=30.0,
        )  # fmt: skip
        return rate_table(exported(trainer, manifest), held_out, counts, workers) if done else None


def method_trainer(run: CodecRun, settings: TrainingConfig, accelerator: Accelerator) -> Trainer:
    """The project's trainer of a model whose quantizer trains by the run's method.

    The quantizer in its place holds the parameters that the trainer's optimiser was made for.
    """
    trainer = Trainer(run.config(), settings, accelerator)
    for model in (trainer.model, trainer.averaged):
        model.quantizer = converted(model.quantizer, run.method)
    return trainer


def _batches(trainer: Trainer, manifest: Manifest, arguments: Arguments) -> Batches:
    config, settings = trainer.model.config, trainer.settings
    crops = CropConfig(
        sample_rate_hz=config.sample_rate_hz,
        segment_samples=round(settings.segment_seconds * config.frame_rate_hz) * config.hop,
        seed=settings.seed,
    )
    share = Share(batch_size=settings.batch_size, processes=1, index=0)
    return open_batches(
        manifest, crops, share,
        place="auto", cache_folder=arguments.out, device=trainer.device, workers=arguments.workers,
    )  # fmt: skip


def exported(trainer: Trainer, manifest: Manifest) -> Codec:
    """The averaged model as a file would hold it: DiVeQ codebooks in tour order, tables fitted to training clips."""
    model, device = trainer.averaged.folded(), str(trainer.device)
    for stage in model.quantizer:
        if not stage.config.is_space_filling:
            sort_codebook(stage)
    coder = codec_of(to_checkpoint(model), device=device)
    rate = coder.config.sample_rate_hz
    waves = (read_clip(manifest.root / clip.path, rate) for clip in spread(manifest.clips, _TABLE_CLIPS))
    tables = fit_tables(coder.config, [coder.encode(wave, sample_rate_hz=rate).codes[0] for wave in waves])
    return codec_of(to_checkpoint(model, tables=tables), device=device)


if __name__ == "__main__":
    run_script(main, Arguments)
