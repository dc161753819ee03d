"""Averages figures over many steps on the device, and reads them once per line of the log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..quantizers import StageStatistics


class MeanFigures:
    """The mean of each figure over the steps since `take`, kept on the device. Values that are not
    finite are left out.

    When other figures come (a phase of the training begins), the means start anew.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums = self._counts = torch.zeros(0)

    def add(self, figures: dict[str, Tensor]) -> None:
        values = torch.stack([value.float() for value in figures.values()])
        finite = values.isfinite()
        if self._names != tuple(figures):
            self._names = tuple(figures)
            self._sums, self._counts = torch.zeros_like(values), torch.zeros_like(values)
        self._sums += torch.where(finite, values, 0.0)
        self._counts += finite

    def take(self) -> dict[str, float | None]:
        """Return the means by name, None where no value was finite, and reset."""
        means = (self._sums / self._counts).tolist()
        names, self._names = self._names, ()
        return {
            name: mean if math.isfinite(mean) else None
            for name, mean in zip(names, means, strict=True)
        }


class StageFigures:
    """What each quantizer stage did over the steps since `take`."""

    def __init__(self) -> None:
        self._counts: list[Tensor] = []
        self._errors = MeanFigures()

    def add(self, statistics: Sequence[StageStatistics]) -> None:
        """Add a step; a step that did not quantize adds nothing."""
        if not statistics:
            return
        counts = [stage.use for stage in statistics]
        self._counts = (
            [a + b for a, b in zip(self._counts, counts, strict=True)] if self._counts else counts
        )
        self._errors.add({str(number): stage.error for number, stage in enumerate(statistics)})

    def take(self) -> dict[str, list[float | None]]:
        """Return the figures of each stage, {} where nothing was quantized, and reset.

        "used": share of the codebook that was chosen at all; "perplexity": how many codewords,
        evenly chosen, would have the entropy of those that were; "error": the mean quantization
        error as a share of the variance.
        """
        if not self._counts:
            return {}
        counts, self._counts = self._counts, []
        shares = [count / count.sum() for count in counts]
        used = torch.stack([(count > 0).float().mean() for count in counts])
        perplexity = torch.stack([torch.special.entr(share).sum().exp() for share in shares])
        return {
            "used": used.tolist(),
            "perplexity": perplexity.tolist(),
            "error": list(self._errors.take().values()),
        }
