"""The settings of a run: one frozen dataclass, stored in every training state."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigError
from ..files.json_dataclass import from_plain
from .objective.discriminators import DiscriminatorConfig, small, spectral
from .objective.losses import MEL_BINS

Precision = Literal["no", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Everything that decides the result of a run, besides model and data.

    A run lasts `steps`, or `max_minutes` of training time over all its resumptions, whichever ends
    first. All phases are shares of the run: until `quantize_from` the latent is not quantized; from
    `adversarial_from` the discriminators take part; from `table_from` SF stages train on the table
    of `position_bits`.
    """

    seed: int = 0
    """Of initial weights, crops and all that is drawn."""
    steps: int | None = None
    """Steps to take; None: as many as `max_minutes` allow."""
    max_minutes: float | None = None
    """Minutes that it lasts at most; None: as many as `steps` take."""

    batch_size: int = 64
    """Crops of a step, over all processes."""
    accumulate: int = 1
    """Micro-batches per process and step."""
    average_every: int = 1
    """Steps; 1: processes average gradients; more: each steps alone, and they average weights."""
    segment_seconds: float = 0.64
    """Length of a crop."""
    precision: Precision = "no"
    """Of products; no: float32."""
    compile: bool = False
    """Compile encoder and decoder, which takes minutes at the start."""

    quantize_from: float | None = None
    """Share of the run; None: at once in the transform layout, 0.05 in the filterbank layout."""
    adversarial_from: float = 0.4
    """Share of the run from which on the discriminators take part."""
    table_from: float = 0.85
    """Share of the run from which on SF-DiVeQ stages train on the table of `position_bits`."""
    position_bits: int = 0
    """Of that table: 2 to its power positions on each segment of a curve."""

    learning_rate: float = 5e-4
    """AdamW's highest; it falls along a cosine."""
    codebook_rate_scale: float = 5.0
    """How many times as fast codebooks learn."""
    discriminator_rate: float = 3e-4
    """The discriminators' learning rate."""
    beta_1: float = 0.8
    """AdamW's, of the mean gradient."""
    beta_2: float = 0.99
    """AdamW's, of the mean squared gradient."""
    weight_decay: float = 1e-3
    """AdamW's."""
    rate_warmup_steps: int = 200
    """Steps over which the learning rate rises from 0."""
    final_rate_share: float = 0.05
    """Of the learning rate, at the end of the run."""
    gradient_clip: float = 1000.0
    """Largest norm of the generator's gradient."""
    discriminator_clip: float = 10.0
    """Largest norm of the discriminators' gradient."""
    ema_decay: float = 0.999
    """Of the averaged weights, which become the model."""

    windows_per_step: int = len(MEL_BINS)
    """Of the spectral losses, drawn anew for each step; fewer cost less."""
    audible_range_db: float = 45.0
    """What lies deeper below a clip's loudest band counts ever less in logarithms."""
    mel_weight: float = 15.0
    """Of the distance between logarithmic mel spectra."""
    stft_weight: float = 1.0
    """Of the distance between logarithmic spectra."""
    waveform_weight: float = 1.0
    """Of the distance between waveforms."""
    loudness_weight: float = 0.1
    """Of the distance in loudness per critical band."""
    periodicity_weight: float | None = None
    """Of the difference in periodicity; None: 20 for a decoder with an excitation, else 0."""
    adversarial_weight: float = 2.5
    """Of the discriminators' verdict."""
    feature_weight: float = 2.5
    """Of the distance between what the discriminators see."""
    discriminators_per_step: int | None = None
    """Drawn anew for each step; None: all."""
    discriminator_share: float = 1.0
    """Of each crop that the discriminators hear."""

    dropout_share: float = 0.85
    """Of the batch decodes from a random number of stages."""
    lost_share: float = 0.15
    """Of the clips lose bursts of frames, where the model conceals."""
    initialise_vectors: int = 50_000
    """Latents from which layers and codebooks start."""
    normalisation_momentum: float = 0.1
    """Of the running mean and scale of each stage's latents."""
    replace_every_steps: int = 100
    """Steps after which unused codewords are replaced; use is counted over about as many."""
    replace_below: float = 0.01
    """Of a codeword's fair share: with less use it is replaced."""

    discriminator: DiscriminatorConfig = field(default_factory=small)

    def __post_init__(self) -> None:
        if self.steps is None and self.max_minutes is None:
            raise ConfigError("a run has no end: set steps, max_minutes or both")
        drawn = self.discriminators_per_step
        known = len(self.discriminator.periods) + len(self.discriminator.windows)
        if drawn is not None and not 1 <= drawn <= known:
            raise ConfigError(f"discriminators_per_step is 1 to {known}, not {drawn}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is positive, not {value}")
        weights = [
            field.name for field in dataclasses.fields(self) if field.name.endswith("_weight")
        ]
        for name in (*_NOT_NEGATIVE, *weights):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name} is at least 0, not {value}")
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} is a share from 0 to 1, not {value}")
        if not 1 <= self.windows_per_step <= len(MEL_BINS):
            raise ConfigError(
                f"windows_per_step is 1 to {len(MEL_BINS)}, not {self.windows_per_step}"
            )
        for name in ("beta_1", "beta_2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 0 and below 1, not {getattr(self, name)}")

    @classmethod
    def for_cpu(cls, **changes: Any) -> TrainingConfig:
        """Return settings for CPU cores: small batches, one spectral discriminator a step, on half
        of the crop.
        """
        settings: dict[str, Any] = {
            "batch_size": 4,
            "segment_seconds": 1.28,
            "windows_per_step": 3,
            "gradient_clip": 125.0,
            "loudness_weight": 0.2,
            "discriminators_per_step": 1,
            "discriminator_share": 0.5,
            "ema_decay": 0.998,
            "discriminator": spectral(),
        }
        return cls(**(settings | changes))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> TrainingConfig:
        """The inverse of `to_dict`; a key or value that does not belong is a `ConfigError` that
        names it.
        """
        return from_plain(cls, fields)


_POSITIVE = (
    "steps",
    "max_minutes",
    "batch_size",
    "accumulate",
    "average_every",
    "segment_seconds",
    "learning_rate",
    "codebook_rate_scale",
    "discriminator_rate",
    "rate_warmup_steps",
    "gradient_clip",
    "discriminator_clip",
    "audible_range_db",
    "discriminator_share",
    "initialise_vectors",
    "replace_every_steps",
)
_NOT_NEGATIVE = (
    "position_bits",
    "weight_decay",
    "replace_below",
)
_SHARES = (
    "quantize_from",
    "adversarial_from",
    "table_from",
    "final_rate_share",
    "dropout_share",
    "lost_share",
    "normalisation_momentum",
)
