"""Train on LibriTTS: named runs, each a function's arguments for `runs.folder.train`; any can be
overridden.

    accelerate launch --config_file recipes/runs/libritts/accelerate/one_gpu.yaml \\
        -m recipes.runs.libritts.train 16khz-one-gpu
    accelerate launch --config_file recipes/runs/libritts/accelerate/eight_gpus.yaml \\
        -m recipes.runs.libritts.train 24khz-eight-gpus --data corpora/LibriTTS --out runs/mine

and on each of two machines that see the same folders, with --machine_rank 0 on the first one and 1
on the other,

    accelerate launch --config_file recipes/runs/libritts/accelerate/two_nodes.yaml \\
        --machine_rank 0 --main_process_ip FIRST_MACHINE -m recipes.runs.libritts.train
        16khz-two-nodes

What to expect of each run is in `recipes/README.md`. Several processes on CPUs are started by
torchrun, since `accelerate launch --cpu` starts only one, without a word:

    torchrun --nproc_per_node 2 -m recipes.runs.libritts.train rehearsal --data … --out …
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from codec.training.objective.discriminators import DiscriminatorConfig, full, small
from codec.training.settings import TrainingConfig

from ...run_script import run_script
from ..folder import train

CORPUS = Path("corpora/LibriTTS")
CLEAN = ("train-clean-100", "train-clean-360")  # 245 hours, 1,151 speakers
ALL = (*CLEAN, "train-other-500")  # 555 hours, 2,311 speakers


@dataclass(frozen=True, kw_only=True)
class RunScale:
    """How much is trained: batch over all processes, updates, rate at that batch, and the
    opponents.
    """

    batch_size: int
    steps: int
    learning_rate: float
    discriminator: DiscriminatorConfig
    subsets: tuple[str, ...]


SCALES = {
    "one-gpu": RunScale(
        batch_size=64,
        steps=400_000,
        learning_rate=5e-4,
        discriminator=small(),
        subsets=CLEAN,
    ),
    "eight-gpus": RunScale(
        batch_size=256,
        steps=200_000,
        learning_rate=7e-4,
        discriminator=full(),
        subsets=ALL,
    ),
    "two-nodes": RunScale(
        batch_size=512,
        steps=150_000,
        learning_rate=1e-3,
        discriminator=full(),
        subsets=ALL,
    ),
}


def speech_16khz(scale: RunScale) -> train.Arguments:
    """14 stages, 0.5 to 7 kbps."""
    return _run("speech_16khz", scale, stage_counts=(1, 2, 3, 4, 6, 8, 10, 12, 14))


def speech_24khz(scale: RunScale) -> train.Arguments:
    """The corpus's own rate: 10 stages, 0.75 to 7.5 kbps."""
    return _run("speech_24khz", scale, stage_counts=(1, 2, 4, 6, 8, 10))


def rehearsal() -> train.Arguments:
    """All the phases of a run with a tiny model on a CPU: a minute on a few clips, to see that
    everything works.
    """
    return train.Arguments(
        data=CORPUS,
        subsets=("train-clean-100",),
        validation=CORPUS / "dev-clean",
        out=Path("runs/libritts-rehearsal"),
        preset="tiny",
        cpu=True,
        speakers="libritts",
        settings=TrainingConfig(
            steps=20,
            batch_size=4,
            segment_seconds=0.4,
            windows_per_step=3,
            learning_rate=3e-3,
            rate_warmup_steps=10,
            initialise_vectors=1000,
            discriminator=DiscriminatorConfig(
                periods=(2, 3), windows=(512,), period_width=2, spectral_width=2
            ),
        ),
        validation_clips=2,
        final_clips=4,
        stage_counts=(1, 4),
        log_every_steps=5,
        workers=1,
    )


def _run(
    preset: Literal["speech_16khz", "speech_24khz"], scale: RunScale, stage_counts: tuple[int, ...]
) -> train.Arguments:
    return train.Arguments(
        data=CORPUS,
        subsets=scale.subsets,
        validation=CORPUS / "dev-clean",
        out=Path("runs", f"libritts-{preset.removeprefix('speech_')}"),
        preset=preset,
        kind="diveq",
        speakers="libritts",
        data_workers=8,
        settings=TrainingConfig(
            steps=scale.steps,
            batch_size=scale.batch_size,
            learning_rate=scale.learning_rate,
            discriminator=scale.discriminator,
            precision="bf16",
        ),
        validation_clips=24,
        final_clips=500,
        stage_counts=stage_counts,
        validate_every_minutes=30.0,
        save_every_minutes=10.0,
        workers=8,
    )


RUNS: dict[str, train.Arguments] = {
    f"{rate}-{machine}": preset(scale)
    for rate, preset in (("16khz", speech_16khz), ("24khz", speech_24khz))
    for machine, scale in SCALES.items()
} | {"rehearsal": rehearsal()}


if __name__ == "__main__":
    run_script(train.main, tyro.extras.subcommand_type_from_defaults(RUNS))
