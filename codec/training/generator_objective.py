"""What the generator minimises: named terms with a weight each, and the discriminators that it
plays against.

A term `x` counts `x_weight` of the settings times. A new loss is a module here, a line in
`Objective.distances`, and a weight in `TrainingConfig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..layouts.config import ModelConfig
from .objective.discriminators import Discriminators, Verdict
from .objective.losses import (
    SpectralCriterion,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)
from .objective.loudness import LoudnessCriterion
from .objective.periodicity import PeriodicityCriterion
from .settings import TrainingConfig

if TYPE_CHECKING:
    from jaxtyping import Float

_EXCITATION_PERIODICITY = 20.0  # a twelfth of all terms


class Objective(nn.Module):
    """The distances between an estimate and its reference, and both sides of the adversarial game.

    Every step draws what it compares by a generator that all processes share: windows of the
    spectral distances, discriminators, and the stretch of the crop that these hear.
    """

    def __init__(self, model: ModelConfig, settings: TrainingConfig) -> None:
        super().__init__()
        sample_rate_hz = model.sample_rate_hz
        self.settings = settings
        self.periodicity_weight = _periodicity_weight(model, settings)
        self.spectral = SpectralCriterion(sample_rate_hz, settings.audible_range_db)
        self.loudness = LoudnessCriterion(sample_rate_hz)
        self.periodicity = PeriodicityCriterion(sample_rate_hz) if self.periodicity_weight else None
        self.discriminators = Discriminators(settings.discriminator)

    def distances(
        self,
        estimate: Float[Tensor, "batch 1 time"],
        reference: Float[Tensor, "batch 1 time"],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The terms that need no discriminator, by name."""
        windows = _drawn(len(self.spectral.scales), self.settings.windows_per_step, generator)
        spectral = self.spectral(estimate, reference, windows)
        terms = {"mel": spectral.mel, "stft": spectral.stft, "waveform": spectral.waveform}
        if self.settings.loudness_weight:
            terms["loudness"] = self.loudness(estimate, reference)
        if self.periodicity is not None:
            terms["periodicity"] = self.periodicity(estimate, reference)
        return terms

    def verdicts(
        self,
        estimate: Float[Tensor, "batch 1 time"],
        reference: Float[Tensor, "batch 1 time"],
        generator: torch.Generator,
    ) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        """Run the step's discriminators on reference and estimate. One pass serves both sides: each
        `backward` names the parameters that it differentiates.
        """
        count = len(self.discriminators.discriminators)
        chosen = _drawn(count, self.settings.discriminators_per_step or count, generator)
        samples = reference.shape[-1]
        heard = max(1, round(self.settings.discriminator_share * samples))
        start = int(torch.randint(0, samples - heard + 1, (), generator=generator))
        stretch = slice(start, start + heard)
        return self.discriminators.compare(reference[..., stretch], estimate[..., stretch], chosen)

    def game(
        self, real: Sequence[Verdict], fake: Sequence[Verdict]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminators' loss, and the generator's terms by name."""
        judged = discriminator_loss(reference=real, estimate=fake)
        features = feature_matching_loss(reference=real, estimate=fake)
        return judged, {"adversarial": generator_loss(fake), "features": features}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of terms."""
        return torch.stack([self._weight(name) * term for name, term in terms.items()]).sum()

    def _weight(self, name: str) -> float:
        if name == "periodicity":
            return self.periodicity_weight
        return getattr(self.settings, "feature_weight" if name == "features" else f"{name}_weight")


def _periodicity_weight(model: ModelConfig, settings: TrainingConfig) -> float:
    if settings.periodicity_weight is not None:
        return settings.periodicity_weight
    has_excitation = model.transform is not None and model.transform.excitation_bands > 0
    return _EXCITATION_PERIODICITY if has_excitation else 0.0


def _drawn(count: int, wanted: int, generator: torch.Generator) -> list[int]:
    return torch.randperm(count, generator=generator)[:wanted].sort()[0].tolist()
