"""One codec of the study: the start that all methods share, and the training by the project's
trainer.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator

from codec import PRESETS, ConfigError
from codec.layouts.config import ModelConfig
from codec.model import CodecModel
from codec.training.data.clips import Manifest
from codec.training.data.crop_plan import CropConfig
from codec.training.logs import METRICS, RunLog, read_metrics
from codec.training.run import train
from codec.training.settings import TrainingConfig
from codec.training.state import open_run
from codec.training.trainer import Batches, Trainer

from ...runs.folder.step_crops import Share, open_batches
from .baselines import COMMITMENT, MovingAverageStage
from .codec_scores import Yardstick, scores
from .methods import Method, converted, stage_configs

CodecStart = Literal["kmeans", "random"]


@dataclass(frozen=True, kw_only=True)
class CodecRun:
    """One codec of the study; the method "start" is what all others start from, untrained."""

    setting: str
    method: Method | Literal["start"]
    bits: int
    stages: int
    seed: int
    preset: str
    steps: int
    start: CodecStart = "kmeans"
    commitment: float = COMMITMENT

    @property
    def name(self) -> str:
        size = f"{self.stages}x{self.bits}"
        return f"{self.setting}-{self.method}-{size}-{self.start}-{self.commitment:g}-{self.seed}"

    @property
    def start_run(self) -> CodecRun:
        """The start of this run; runs with the same one are compared."""
        return dataclasses.replace(self, method="start", steps=0, commitment=COMMITMENT)

    def config(self) -> ModelConfig:
        """The preset's codec with this run's stages."""
        base = PRESETS[self.preset]()
        kind = "diveq" if self.method == "start" else self.method
        return dataclasses.replace(
            base, stages=stage_configs(kind, self.stages, bits=self.bits, dim=base.stages[0].dim)
        )


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all runs of a study share."""

    settings: TrainingConfig
    """How each run trains; its seed is the run's."""
    manifest: Manifest
    yardstick: Yardstick
    out: Path
    cpu: bool
    readers: int


@dataclass(frozen=True)
class Start:
    """Where all methods of a seed start: a trainer's state, and how the untrained codec scores,
    where that was asked for.
    """

    state: dict[str, Any]
    result: dict[str, Any] | None


def make_start(run: CodecRun, setup: Setup, *, scored: bool) -> Start:
    """Warm-up, if the layout has one, and the start of all stages from latents: no method differs
    in it.
    """
    trainer = _trainer(run.start_run, setup)
    batches = _batches(trainer, setup)
    trainer.start(batches)
    while trainer.steps < trainer.quantize_from * run.steps:
        trainer.step(batches(trainer.steps), trainer.steps / run.steps)
    trainer.start_quantizing(batches)
    if run.start == "random":
        _draw_codewords(trainer)
    state = copy.deepcopy(trainer.state_dict())
    return Start(state, _scores(trainer, setup) if scored else None)


def _draw_codewords(trainer: Trainer) -> None:
    """Gaussian codewords of the latents' own variance, in the place of those from k-means."""
    generator = torch.Generator().manual_seed(trainer.settings.seed)
    with torch.no_grad():
        for stage, averaged in zip(
            trainer.model.quantizer, trainer.averaged.quantizer, strict=True
        ):
            stage.codebook.copy_(torch.randn(stage.codebook.shape, generator=generator))
            averaged.codebook.copy_(stage.codebook)


def train_and_score(run: CodecRun, setup: Setup, start: Start) -> dict[str, Any] | None:
    """Scores and history of one run; None where a stop signal came."""
    folder = setup.out / run.name
    trainer = _trainer(run, setup)
    batches = _batches(trainer, setup)
    begun = open_run(trainer, folder)
    if not trainer.quantizing:
        trainer.load_state_dict(start.state)
        if run.start == "kmeans":
            _trust_start(trainer)
    began = time.process_time(), trainer.steps
    if train(
        trainer,
        batches,
        folder,
        validate=_no_validation,
        elapsed_s=begun.elapsed_s,
        origin=begun.origin,
    ):
        return None
    steps = trainer.steps - began[1]
    step_ms = 1000 * (time.process_time() - began[0]) / steps if steps else None
    history = _history(read_metrics(folder / METRICS))
    return {**_scores(trainer, setup), "history": history, "step_ms": step_ms}


def _scores(trainer: Trainer, setup: Setup) -> dict[str, Any]:
    return scores(trainer.averaged.folded(), setup.yardstick, str(trainer.device))


def _no_validation(_model: CodecModel, _log: RunLog, _step: int) -> dict[str, Any]:
    """Runs are scored when they are over."""
    return {}


def _trust_start(trainer: Trainer) -> None:
    """EMA's codewords are means of latents already: they weigh as much as after a long training."""
    for model in (trainer.model, trainer.averaged):
        for stage in model.quantizer:
            if isinstance(stage, MovingAverageStage):
                stage.trust_codebook(
                    _frames_per_step(trainer), trainer.settings.replace_every_steps
                )


def _frames_per_step(trainer: Trainer) -> float:
    settings = trainer.settings
    return settings.batch_size * settings.segment_seconds * trainer.model.config.frame_rate_hz


def _trainer(run: CodecRun, setup: Setup) -> Trainer:
    settings = dataclasses.replace(setup.settings, seed=run.seed)
    accelerator = Accelerator(
        cpu=setup.cpu,
        mixed_precision=settings.precision,
        log_with="tensorboard",
        project_dir=str(setup.out / run.name),
    )
    if accelerator.num_processes > 1 or settings.accumulate > 1:
        raise ConfigError(
            "the baselines see one process and no micro-batches: start it alone, with accumulate 1"
        )
    return method_trainer(run, settings, accelerator)


def method_trainer(run: CodecRun, settings: TrainingConfig, accelerator: Accelerator) -> Trainer:
    """The project's trainer of a model whose quantizer trains by the run's method.

    The quantizer in its place holds the parameters that the trainer's optimiser was made for.
    """
    trainer = Trainer(run.config(), settings, accelerator)
    if run.method != "start":
        for model in (trainer.model, trainer.averaged):
            model.quantizer = converted(model.quantizer, run.method, commitment=run.commitment)
    return trainer


def _batches(trainer: Trainer, setup: Setup) -> Batches:
    config, settings = trainer.model.config, trainer.settings
    crops = CropConfig(
        sample_rate_hz=config.sample_rate_hz,
        segment_samples=round(settings.segment_seconds * config.frame_rate_hz) * config.hop,
        seed=settings.seed,
    )
    share = Share(batch_size=settings.batch_size, processes=1, index=0)
    return open_batches(
        setup.manifest,
        crops,
        share,
        place="auto",
        cache_folder=setup.out,
        device=trainer.device,
        workers=setup.readers,
    )


def _history(events: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Figures of each log interval: of the training batches, per stage where there are several."""
    logged = [event for event in events if event["event"] == "train"]
    return {
        name: [event[name] for event in logged]
        for name in ("step", "mel", "used", "perplexity", "error")
    }
