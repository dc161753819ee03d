"""Trains a whole run: steps within a budget, logs, validation, checkpoints, and resumption."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError, DiveqCodecError
from ..model import CodecModel
from .clock import Clock, Every, at_once, stopped_by_signals
from .distributed import processes
from .logs import RunLog
from .running_means import MeanFigures, StageFigures
from .state import save_state
from .to_model_file import code_commit
from .trainer import Batches, Trainer

Validate = Callable[[CodecModel, RunLog, int], dict[str, Any]]

# how often several processes agree on clock and stop signal; one process looks at every step
_SYNC_STEPS = 10
_MOST_SKIPPED = 50


class TrainingError(DiveqCodecError):
    """A run that cannot go on."""


def train(
    trainer: Trainer,
    batches: Batches,
    folder: Path,
    *,
    validate: Validate,
    elapsed_s: float = 0.0,
    origin: dict[str, Any] | None = None,
    log_every_steps: int = 50,
    save_every_minutes: float = 5.0,
    validate_every_minutes: float = 10.0,
    data_facts: dict[str, Any] | None = None,
) -> int:
    """Train until the budget is spent (returns 0) or a stop signal came (returns its number); the
    state is saved in both cases.

    SIGTERM and the first SIGINT (Ctrl-C) stop after the step; a second SIGINT interrupts at once,
    without saving. While codebooks are initialised and while the model is validated, where nothing
    would be lost, one process stops at once, by the exception `codec.files.stop.Stopped`. A run
    whose budget is spent already is left as it is.

    Args:
        trainer: new, or with the state of the folder's run (`open_run`).
        batches: step → this process's share of the batch, (batch, 1, samples), the same for the
            same step.
        folder: where state, `metrics.jsonl` and TensorBoard files go.
        validate: called with the averaged model on the first process; returns the figures to log.
        elapsed_s: seconds of training before this resumption (`open_run`).
        origin: facts of the state that the run started from (`open_run`).
        log_every_steps: one line of figures, each the mean over these steps.
        save_every_minutes: of training, also counted over resumptions; the state is saved at each
            validation too.
        validate_every_minutes: likewise.
        data_facts: what the data are, as JSON; they are put into the model file.

    Raises:
        TrainingError: 50 steps in a row gave no finite gradient. The last state saved is from
            before.
        ConfigError: An interval is not positive.
    """
    for name, value in (
        ("log_every_steps", log_every_steps),
        ("save_every_minutes", save_every_minutes),
        ("validate_every_minutes", validate_every_minutes),
    ):
        if not value > 0:
            raise ConfigError(f"{name} is positive, not {value}")
    clock = Clock(trainer, elapsed_s)
    if clock.progress >= 1:
        trainer.accelerator.end_training()  # as after a run
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"data": data_facts or {}, "origin": origin, "commit": code_commit()}
    with (
        RunLog(folder, trainer.accelerator, at_step=trainer.steps) as log,
        stopped_by_signals(clock),
    ):
        run = _Run(trainer, batches, folder, clock, log, validate, facts)
        run.loop(
            log_every_steps,
            Every(60 * save_every_minutes, clock),
            Every(60 * validate_every_minutes, clock),
        )
    return clock.stopped_by


@dataclass
class _Run:
    """The training loop and what it calls."""

    trainer: Trainer
    batches: Batches
    folder: Path
    clock: Clock
    log: RunLog
    validate: Validate
    facts: dict[str, Any]
    means: MeanFigures = field(default_factory=MeanFigures)
    stages: StageFigures = field(default_factory=StageFigures)
    measured_from: tuple[float, int] = (
        0.0,
        0,
    )  # seconds and steps; the speed is measured from here on

    def __post_init__(self) -> None:
        self.measured_from = (self.clock.elapsed_s, self.trainer.steps)

    def loop(self, log_every_steps: int, save: Every, validate: Every) -> None:
        trainer, clock = self.trainer, self.clock
        while not clock.is_over:
            self._step()
            logging = trainer.steps % log_every_steps == 0
            if (
                logging
                or processes() == 1
                or trainer.steps % _SYNC_STEPS == 0
                or clock.progress >= 1
            ):
                clock.tick()
            if logging or clock.is_over:
                self._log()
            validating = (validate.is_due() or clock.progress >= 1) and not clock.stop
            if save.is_due() or validating or clock.is_over:
                # before validation, so that nothing is lost where that fails or is killed
                self._save()
            if validating and not clock.stop:
                self._validate()
        clock.tick()  # a stop that came at the very end is one, too

    def _step(self) -> None:
        trainer = self.trainer
        energy_left: list[float] = []
        if not trainer.started:
            if trainer.quantizing or trainer.model.config.transform:
                self.log.say("layers and stages that are new start from data")
            with at_once(self.clock):
                energy_left = trainer.start(self.batches)
        if not trainer.quantizing and self.clock.progress >= trainer.quantize_from:
            self.log.say("the quantizer's stages start from data")
            # later in the run, steps would be lost
            with nullcontext() if trainer.steps else at_once(self.clock):
                energy_left = trainer.start_quantizing(self.batches)
        if not all(map(math.isfinite, energy_left)):
            raise TrainingError(
                f"the latents at step {trainer.steps} are not finite, so that the codebooks cannot "
                f"start from "
                "them; lower learning_rate, or look for broken audio in the data"
            )
        result = trainer.step(self.batches(trainer.steps), self.clock.progress)
        self.means.add(result.figures)
        self.stages.add(result.statistics)
        if (
            energy_left
        ):  # after the step, whose number it gets: a run that goes on from before repeats it
            self.log.write(trainer.steps, "initialise", {"energy_left": energy_left})
        self.log.show(trainer.steps, self.clock.progress)

    def _log(self) -> None:
        """Write a line of the log; only here figures leave the device."""
        trainer, clock = self.trainer, self.clock
        figures: dict[str, Any] = {**self.means.take(), **self.stages.take()}
        figures |= {
            "learning_rate": trainer.optimiser.param_groups[0]["lr"],
            "audio_s_per_s": self._speed(),
            "elapsed_s": clock.elapsed_s,
            "skipped_steps": trainer.all_skipped.item(),
        }
        if trainer.quantizing:
            figures["scale"] = torch.stack(
                [stage.scale for stage in trainer.model.quantizer]
            ).tolist()
        self.log.write(trainer.steps, "train", figures)
        self.log.note = "".join(
            f"{name} {value:{form}}  "
            for name, value, form in (
                ("mel", figures["mel"], ".3f"),
                ("s/s", figures["audio_s_per_s"], ".0f"),
            )
            if value is not None
        )
        self._check_health()
        self.measured_from = (clock.elapsed_s, trainer.steps)

    def _speed(self) -> float | None:
        """Seconds of audio trained per second, without the time that saving and validation took."""
        seconds, steps = (
            self.clock.elapsed_s - self.measured_from[0],
            self.trainer.steps - self.measured_from[1],
        )
        settings = self.trainer.settings
        return (
            steps * settings.batch_size * settings.segment_seconds / seconds
            if seconds > 0
            else None
        )

    def _check_health(self) -> None:
        skipped = int(self.trainer.skipped.item())
        if skipped >= _MOST_SKIPPED:
            raise TrainingError(
                f"{skipped} steps in a row gave a gradient that is not finite (up to step "
                f"{self.trainer.steps}); "
                "lower learning_rate, or look for broken audio in the data"
            )

    def _validate(self) -> None:
        if self.trainer.accelerator.is_main_process and self.trainer.quantizing:
            self.log.say("measuring held-out clips")
            with at_once(self.clock):
                figures = self.validate(self.trainer.averaged, self.log, self.trainer.steps)
            self.log.write(self.trainer.steps, "validation", figures)
        self._resume_clock()

    def _save(self) -> None:
        self._check_health()
        trainer = self.trainer
        if trainer.accelerator.is_main_process:
            state = {
                "trainer": trainer.state_dict(),
                "model_config": trainer.model.config.to_dict(),
                "settings": trainer.settings.to_dict(),
                "elapsed_s": self.clock.elapsed_s,
                "device": _device_name(trainer.device),
            }
            save_state(self.folder, state | self.facts)
        self._resume_clock()

    def _resume_clock(self) -> None:
        self.trainer.accelerator.wait_for_everyone()
        self.clock.tick()
        self.measured_from = (self.clock.elapsed_s, self.trainer.steps)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU thread(s)"
