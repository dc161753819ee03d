"""A run that takes a second: a shallow model, a small discriminator, 0.16 s of synthetic speech per
clip.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from small_models import shallow
from two_processes import crops

from codec.layouts.stage_kinds import StageKind
from codec.training.objective.discriminators import DiscriminatorConfig
from codec.training.settings import TrainingConfig
from codec.training.trainer import Trainer

CLIP_SAMPLES = 2560

SETTINGS = TrainingConfig(
    steps=12,
    batch_size=2,
    segment_seconds=CLIP_SAMPLES / 16_000,
    windows_per_step=2,
    quantize_from=0.25,
    adversarial_from=0.5,
    table_from=0.75,
    initialise_vectors=64,  # 4 batches
    replace_every_steps=3,
    rate_warmup_steps=5,
    discriminator=DiscriminatorConfig(periods=(2,), windows=(), period_width=1),
)


def small_trainer(folder: Path, kind: StageKind = "diveq", **changes: Any) -> Trainer:
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(folder))
    return Trainer(shallow(kind), dataclasses.replace(SETTINGS, **changes), accelerator)


def batches(step: int) -> torch.Tensor:
    return crops(step, batch=2, samples=CLIP_SAMPLES)
