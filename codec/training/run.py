"""A whole run: steps within a budget, logs, validation, checkpoints, and going on where it stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ..errors import DiveqCodecError
from ..model import CodecModel
from .distributed import from_first
from .logs import RunLog
from .state import save_state
from .trainer import Batches, StepResult, Trainer

Validate = Callable[[CodecModel, RunLog, int], dict[str, Any]]

_SYNC_STEPS = 10  # how often the processes agree on clock and stop signal
_MOST_SKIPPED = 50


class TrainingError(DiveqCodecError):
    """A run that cannot go on."""


class Clock:
    """How much of the run has passed, over all its resumptions: by steps, or by minutes of training."""

    def __init__(self, trainer: Trainer, elapsed_s: float) -> None:
        self.trainer = trainer
        self.elapsed_s = elapsed_s
        self.started = time.monotonic() - elapsed_s
        self.stop = False

    def tick(self) -> None:
        """Agree on the first process's clock and stop signal."""
        values = [time.monotonic() - self.started, float(self.stop)]
        elapsed, stop = from_first(values, self.trainer.device)
        self.elapsed_s, self.stop = elapsed, bool(stop)

    @property
    def progress(self) -> float:
        settings = self.trainer.settings
        if settings.steps is not None:
            return min(1.0, self.trainer.steps / settings.steps)
        assert settings.max_minutes is not None
        return min(1.0, self.elapsed_s / (60 * settings.max_minutes))


def train(
    trainer: Trainer,
    batches: Batches,
    folder: Path,
    *,
    validate: Validate,
    elapsed_s: float = 0.0,
    log_every_steps: int = 50,
    save_every_minutes: float = 5.0,
    validate_every_minutes: float = 10.0,
    data_facts: dict[str, Any] | None = None,
) -> bool:
    """Train until the budget is spent (True) or a stop signal came (False); the state is saved in both cases.

    Args:
        batches: step → this process's share of the batch, (batch, 1, samples), the same for the same step.
        validate: called with the averaged model on the first process; returns the figures to log.
        elapsed_s: seconds of training before this resumption, from the saved state.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clock = Clock(trainer, elapsed_s)
    previous = signal.signal(signal.SIGTERM, lambda _signal, _frame: setattr(clock, "stop", True))
    with RunLog(folder, trainer.accelerator, at_step=trainer.steps) as log:
        try:
            _loop(trainer, batches, folder, clock, log, validate, log_every_steps, save_every_minutes,
                  validate_every_minutes, data_facts or {})  # fmt: skip
        finally:
            signal.signal(signal.SIGTERM, _restorable(previous))
    return clock.progress >= 1


def _loop(
    trainer: Trainer,
    batches: Batches,
    folder: Path,
    clock: Clock,
    log: RunLog,
    validate: Validate,
    log_every_steps: int,
    save_every_minutes: float,
    validate_every_minutes: float,
    data_facts: dict[str, Any],
) -> None:
    saved = validated = logged_at = clock.elapsed_s
    logged_step = trainer.steps
    while clock.progress < 1 and not clock.stop:
        if not trainer.quantizing and clock.progress >= trainer.settings.quantize_from:
            log.write(trainer.steps, "initialise", {"energy_left": trainer.start_quantizing(batches)})
        result = trainer.step(batches(trainer.steps), clock.progress)
        if trainer.steps % _SYNC_STEPS == 0:
            clock.tick()
        if trainer.steps % log_every_steps == 0:
            seconds = (clock.elapsed_s - logged_at) or float("nan")
            speed = (trainer.steps - logged_step) / seconds
            _log_step(trainer, result, log, clock, speed)
            logged_at, logged_step = clock.elapsed_s, trainer.steps
        if clock.elapsed_s - saved > 60 * save_every_minutes:
            _save(trainer, folder, clock, data_facts)
            saved = clock.elapsed_s
        if clock.elapsed_s - validated > 60 * validate_every_minutes:
            _validate(trainer, validate, log)
            validated = clock.elapsed_s
    if clock.progress >= 1:
        _validate(trainer, validate, log)
    _save(trainer, folder, clock, data_facts)


def _log_step(trainer: Trainer, result: StepResult, log: RunLog, clock: Clock, steps_per_s: float) -> None:
    """The one place where figures leave the device; also where a run of broken steps ends the run."""
    figures = {name: value.item() for name, value in result.figures.items()}
    settings = trainer.settings
    figures |= {
        "learning_rate": trainer.optimiser.param_groups[0]["lr"],
        "audio_s_per_s": steps_per_s * settings.batch_size * settings.segment_seconds,
        "elapsed_s": clock.elapsed_s,
        "skipped_steps": trainer.all_skipped.item(),
    }
    log.write(trainer.steps, "train", figures | _stage_figures(trainer, result))
    log.show(trainer.steps, clock.progress, f"mel {figures['mel']:.3f}  {figures['audio_s_per_s']:.0f} s/s")
    if trainer.skipped.item() >= _MOST_SKIPPED:
        raise TrainingError(
            f"{int(trainer.skipped.item())} steps in a row gave a gradient that is not finite (up to step "
            f"{trainer.steps}); lower learning_rate, or look for broken audio in the data"
        )


def _stage_figures(trainer: Trainer, result: StepResult) -> dict[str, list[float]]:
    if not result.statistics:
        return {}
    use = [s.use / s.use.sum() for s in result.statistics]
    perplexity = [torch.exp(-(p * (p + 1e-12).log()).sum()).item() for p in use]
    below = trainer.settings.replace_below
    used = [(stage.use >= below * stage.use.mean()).float().mean().item() for stage in trainer.model.quantizer]
    return {
        "perplexity": perplexity,
        "used": used,
        "error": [s.error.item() for s in result.statistics],
        "scale": [stage.scale.item() for stage in trainer.model.quantizer],
    }


def _validate(trainer: Trainer, validate: Validate, log: RunLog) -> None:
    if trainer.accelerator.is_main_process and trainer.quantizing:
        log.write(trainer.steps, "validation", validate(trainer.averaged, log, trainer.steps))
    trainer.accelerator.wait_for_everyone()


def _save(trainer: Trainer, folder: Path, clock: Clock, data_facts: dict[str, Any]) -> None:
    if trainer.accelerator.is_main_process:
        save_state(
            folder,
            {
                "trainer": trainer.state_dict(),
                "model_config": trainer.model.config.to_dict(),
                "settings": trainer.settings.to_dict(),
                "elapsed_s": clock.elapsed_s,
                "data": data_facts,
                "device": _device_name(trainer.device),
            },
        )
    trainer.accelerator.wait_for_everyone()


def _restorable(handler: Any) -> Callable[[int, FrameType | None], Any] | int | signal.Handlers:
    return signal.SIG_DFL if handler is None else handler


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU thread(s)"
