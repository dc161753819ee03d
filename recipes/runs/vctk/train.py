"""The speech experiment of the DiVeQ paper: one codebook, trained with a quantizer of one kind and
size.

    accelerate launch -m recipes.runs.vctk.train --kind sf_diveq --bits 12

Vali, Bäckström, Solin, "DiVeQ: Differentiable Vector Quantization Using the Reparameterization
Trick" (2025): VCTK at 16 kHz, the Descript Audio Codec with one codebook of 10 to 13 bits, its
losses without those for the codebook, batches of 64, AdamW with rate 1e-4 and betas (0.8, 0.99),
300 epochs, noise variance 1e-3. The paper's figures are in `recipes/README.md`, and so is where
this differs from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codec.layouts.stage_kinds import StageKind
from codec.training.objective.discriminators import full
from codec.training.settings import Precision, TrainingConfig
from codec.training.validation import audio_files

from ...run_script import run_script
from ..folder import train
from .prepare import HELD_OUT, TRAIN

BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Study:
    """One row of the study."""

    kind: StageKind = "diveq"
    bits: int = 10
    """Of the one codebook; the paper has 10 to 13."""
    seed: int = 0
    epochs: int = 300
    """How often as many crops are drawn as there are clips."""
    data: Path = Path("corpora/vctk")
    """What `recipes.runs.vctk.prepare` has made."""
    out: Path | None = None
    """The run's folder; by default runs/vctk-KIND-BITS-SEED."""
    precision: Precision = "no"


def paper(study: Study) -> train.Arguments:
    """The run of a study's row."""
    clips = len(audio_files(study.data / TRAIN))
    return train.Arguments(
        data=study.data / TRAIN,
        validation=study.data / HELD_OUT,
        out=study.out or Path("runs", f"vctk-{study.kind}-{study.bits}-{study.seed}"),
        preset="dac_16khz",
        kind=study.kind,
        stages=1,
        bits=study.bits,
        speakers="folder",
        level_dbfs=(-32.0, -22.0),
        data_workers=8,
        settings=TrainingConfig(
            seed=study.seed,
            steps=max(1, study.epochs * clips // BATCH_SIZE),
            batch_size=BATCH_SIZE,
            segment_seconds=0.38,
            precision=study.precision,
            quantize_from=0.01,
            adversarial_from=0.0,
            learning_rate=1e-4,
            codebook_rate_scale=1.0,
            discriminator_rate=1e-4,
            beta_1=0.8,
            beta_2=0.99,
            final_rate_share=1.0,
            ema_decay=0.0,
            mel_weight=15.0,
            audible_range_db=200.0,
            stft_weight=0.0,
            waveform_weight=0.0,
            loudness_weight=0.0,
            adversarial_weight=1.0,
            feature_weight=2.0,
            dropout_share=0.0,
            discriminator=full(),
        ),
        stage_counts=(1,),
        validation_clips=24,
        final_clips=1000,
        validate_every_minutes=30.0,
        save_every_minutes=10.0,
        workers=8,
    )


def main(study: Study) -> None:
    train.main(paper(study))


if __name__ == "__main__":
    run_script(main, Study)
