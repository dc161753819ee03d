"""The configuration of a model: frozen dataclasses, checked when made, stored as JSON in the
checkpoint.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..files.json_dataclass import from_plain
from .filterbank.filterbank_layout import FilterbankLayout
from .require import require
from .stage_kinds import STAGE_KINDS, StageKind, StageTraits
from .transform.transform_layout import TransformLayout

MAX_STAGES = 127
MAX_BITS = 16
MAX_RATE_HZ = 768_000
MIN_RATE_HZ = (
    1_000  # of audio: below, a second of a file is worth hours of sound, which cost as much as any
)
LOST = -2  # the codes of a frame that was lost on its way


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage of the residual quantizer.

    `noise_variance` is σ² (not σ) of the training noise, in latents of unit variance per dimension.
    """

    kind: StageKind = "diveq"
    bits: int = 10
    dim: int = 8
    noise_variance: float = 1e-3

    def __post_init__(self) -> None:
        require(
            self.kind in STAGE_KINDS,
            f"stage kind {self.kind!r} is unknown; known: {', '.join(STAGE_KINDS)}",
        )
        require(1 <= self.bits <= MAX_BITS, f"a stage has 1 to {MAX_BITS} bits, not {self.bits}")
        require(self.dim >= 1, f"a stage's dim is at least 1, not {self.dim}")
        require(
            0 <= self.noise_variance < math.inf,
            f"noise_variance is at least 0, not {self.noise_variance}",
        )

    @property
    def codewords(self) -> int:
        return 1 << self.bits

    @property
    def traits(self) -> StageTraits:
        return STAGE_KINDS[self.kind]

    @property
    def is_space_filling(self) -> bool:
        return self.traits.is_space_filling


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The whole codec: encoder, residual quantizer, decoder. One of the two layouts is set.

    `least_stages` is 0 for a model whose decoder was trained with frames without any stage, else 1.
    """

    sample_rate_hz: int
    latent_channels: int
    stages: tuple[StageConfig, ...]
    transform: TransformLayout | None = None
    filterbank: FilterbankLayout | None = None
    least_stages: int = 1

    def __post_init__(self) -> None:
        require(self.least_stages in (0, 1), f"least_stages is 0 or 1, not {self.least_stages}")
        require(
            1 <= self.sample_rate_hz <= MAX_RATE_HZ,
            f"sample_rate_hz is 1 to {MAX_RATE_HZ}, not {self.sample_rate_hz}",
        )
        require(
            self.latent_channels >= 1, f"latent_channels is at least 1, not {self.latent_channels}"
        )
        require(
            1 <= len(self.stages) <= MAX_STAGES,
            f"a model has 1 to {MAX_STAGES} stages, not {len(self.stages)}",
        )
        require(
            (self.transform is None) != (self.filterbank is None),
            "a model has one layout, transform or filterbank: set one of them, and the other to "
            "None",
        )

    @property
    def layout(self) -> TransformLayout | FilterbankLayout:
        layout = self.transform or self.filterbank
        assert layout is not None
        return layout

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.layout.hop

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop

    @property
    def noise_values(self) -> int:
        """Values of noise that the decoder takes for each frame."""
        return self.layout.noise_values

    @property
    def conceals(self) -> bool:
        """Whether the decoder takes frames that are marked as lost."""
        return self.layout.conceals

    @property
    def least_weights(self) -> int:
        """A lower bound of the number of weights, whatever the layout."""
        quantizer = sum(
            stage.dim * (stage.codewords + self.latent_channels) for stage in self.stages
        )
        return self.layout.least_weights + quantizer

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> ModelConfig:
        """The inverse of `to_dict`; a key or value that does not belong is a `ConfigError` that
        names it.
        """
        return from_plain(cls, fields)
