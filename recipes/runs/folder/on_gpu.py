"""Minutes of training on a GPU, then the evaluation: what to run where one is lent for a while.

    python -m recipes.runs.folder.on_gpu --data speech/train --validation speech/val --out runs/gpu

It makes `speech_16khz_25hz` of the shipped model, against wider discriminators, all in every step,
of periods too; they start anew. `--rehearse` does the same with a few small steps and two clips, on
a CPU as well. Stopped, the same command goes on. In `--out`: what `recipes.runs.folder.train`
leaves, and in `evaluation/` what `recipes.measure.compare` does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from codec.model_lookup import DEFAULT_MODEL, MODEL_FILE, find_model
from codec.training.objective.discriminators import DiscriminatorConfig
from codec.training.settings import TrainingConfig

from ...measure.compare import __main__ as compare
from ...run_script import run_script
from . import train

DISCRIMINATORS = DiscriminatorConfig(period_width=16, spectral_width=32)
BITRATES_KBPS = (0.75, 1.5, 3.0, 6.0)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to train and measure on."""

    data: Path
    """Folder tree of audio to train on."""
    validation: Path
    """Folder tree of audio by other speakers, to measure on."""
    out: Path
    """The run's folder."""
    minutes: float = 11.0
    """Of training, entropy tables and scores; the evaluation comes after them."""
    rehearse: bool = False
    """A few small steps and two clips, to see that everything works."""


def main(arguments: Arguments) -> None:
    train.main(training(arguments))
    compare.main(
        compare.Arguments(
            data=arguments.validation,
            out=arguments.out / "evaluation",
            systems=(),
            models=(str(arguments.out / MODEL_FILE),),
            bitrates=BITRATES_KBPS,
            clips=2 if arguments.rehearse else None,
            force=True,
        )
    )


def training(arguments: Arguments) -> train.Arguments:
    """The run: `precision` bf16 and batches that fill a large GPU."""
    settings = TrainingConfig(
        max_minutes=arguments.minutes,
        batch_size=64,
        segment_seconds=1.28,
        precision="bf16",
        learning_rate=5e-4,
        adversarial_from=0.0,
        gradient_clip=125.0,
        loudness_weight=0.2,
        ema_decay=0.998,
        discriminator=DISCRIMINATORS,
    )
    whole = train.Arguments(
        data=arguments.data,
        validation=arguments.validation,
        out=arguments.out,
        preset="speech_16khz_25hz",
        init=find_model(DEFAULT_MODEL),
        level_dbfs=(-34.0, -14.0),
        settings=settings,
        validation_clips=8,
        final_clips=8,
        stage_counts=(3, 6, 12, 24),
        validate_every_minutes=5.0,
        save_every_minutes=2.0,
        workers=8,
    )
    if not arguments.rehearse:
        return whole
    small = dataclasses.replace(
        settings, steps=2, batch_size=2, segment_seconds=0.32, precision="no"
    )
    return dataclasses.replace(
        whole, settings=small, validation_clips=1, final_clips=1, data_workers=0, workers=1
    )


if __name__ == "__main__":
    run_script(main, Arguments)
