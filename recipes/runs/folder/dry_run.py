"""Estimates steps, time, memory and disk of a run from a few real steps that leave nothing
behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

import torch

from codec.training.data.clips import Manifest
from codec.training.settings import TrainingConfig
from codec.training.trainer import Batches, Trainer

from ...memory import peak_memory_mb

_STEPS = 8  # that are timed, after one that is not
_BYTES_PER_SAMPLE = 2


def settings_line(settings: TrainingConfig, device: torch.device) -> str:
    """The settings that decide speed, in one line."""
    discriminators = len(settings.discriminator.periods) + len(settings.discriminator.windows)
    drawn = settings.discriminators_per_step or discriminators
    where = f"{torch.get_num_threads()} CPU thread(s)" if device.type == "cpu" else str(device)
    where += "" if settings.precision == "no" else f", {settings.precision}"
    length = "" if settings.steps is None else f"{settings.steps} steps, "
    length += "" if settings.max_minutes is None else f"{settings.max_minutes:g} minutes, "
    return (
        f"{length}{where}: batches of {settings.batch_size} crops of {settings.segment_seconds:g} "
        f"s, {drawn} of "
        f"{discriminators} discriminators a step from {settings.adversarial_from:.0%} of the run on"
    )


def expectation(
    trainer: Trainer,
    batches: Batches,
    manifest: Manifest,
    end_seconds: Callable[[float], float] | None,
) -> str:
    """Lines that say what the run would take, with `end_seconds` of the seconds of training after
    it; None: unknown. The trainer is spoilt afterwards.
    """
    settings = trainer.settings
    started = monotonic()
    if not trainer.started:
        trainer.start(batches)
    if not trainer.quantizing:
        trainer.start_quantizing(batches)
    initialised = monotonic() - started
    trainer.step(batches(0), 1.0)
    started = monotonic()
    for step in range(1, 1 + _STEPS):
        float(trainer.step(batches(step), 1.0).figures["total"])  # the host waits for the device
    seconds = (monotonic() - started) / _STEPS
    left = 60 * settings.max_minutes - initialised if settings.max_minutes else math.inf
    steps = max(1, int(min(settings.steps or math.inf, left / seconds)))
    end = "up to half an hour on a core"
    if end_seconds is not None:
        end = f"at most {end_seconds(steps * seconds) / 60:.1f}"
    hours = steps * settings.batch_size * settings.segment_seconds / 3600
    lines = [
        f"steps     {steps:,}, of {seconds:.2f} s each with discriminators",
        f"time      {initialised / 60:.1f} minutes to start, {steps * seconds / 60:.1f} of "
        f"training, {end} for entropy tables and scores",
        f"heard     {hours:.1f} hours, {hours * 3600 / manifest.seconds:.1f} times the "
        f"{manifest.seconds / 3600:.1f} "
        "hours of the data",
        f"memory    {_memory(trainer.device) / 1e9:.1f} GB",
        f"disk      {_disk(trainer, manifest) / 1e9:.1f} GB: the state, and the audio decoded",
    ]
    return "\n".join(lines)


def _memory(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return 1e6 * peak_memory_mb()


def _disk(trainer: Trainer, manifest: Manifest) -> float:
    """Weights, averaged weights and two moments of AdamW; the same without averages for the
    discriminators.
    """
    generator = sum(parameter.numel() for parameter in trainer.model.parameters())
    discriminators = sum(parameter.numel() for parameter in trainer.discriminator.parameters())
    bank = _BYTES_PER_SAMPLE * manifest.seconds * trainer.model.config.sample_rate_hz
    return 4 * (4 * generator + 3 * discriminators) + bank
