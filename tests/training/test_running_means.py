"""Figures over many steps: means without what is not finite, and what stages really chose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from codec.quantizers import StageStatistics
from codec.training.running_means import MeanFigures, StageFigures


def statistics(counts: list[int], error: float) -> StageStatistics:
    nothing = torch.zeros(1)
    use = torch.tensor(counts, dtype=torch.float32)
    return StageStatistics(use=use, mean=nothing, mean_square=nothing, error=torch.tensor(error))


def test_means_leave_out_what_is_not_finite():
    means = MeanFigures()
    for mel, total in ((1.0, math.nan), (2.0, math.inf), (6.0, math.nan)):
        means.add({"mel": torch.tensor(mel), "total": torch.tensor(total)})
    assert means.take() == {"mel": 3.0, "total": None}


def test_means_start_anew_when_taken_and_when_other_figures_come():
    means = MeanFigures()
    assert means.take() == {}
    means.add({"mel": torch.tensor(5.0)})
    assert means.take() == {"mel": 5.0}
    means.add({"mel": torch.tensor(1.0)})
    means.add({"mel": torch.tensor(3.0, dtype=torch.bfloat16), "adversarial": torch.tensor(2)})
    assert means.take() == {"mel": 3.0, "adversarial": 2.0}


def test_stages_are_judged_by_all_choices_since_the_last_line():
    figures = StageFigures()
    figures.add([statistics([8, 0, 0, 0], 0.25), statistics([1, 1], 0.5)])
    figures.add([statistics([0, 4, 4, 0], 0.75), statistics([1, 1], math.nan)])
    taken = figures.take()
    shares = np.array([0.5, 0.25, 0.25])
    assert taken["used"] == [0.75, 1.0]
    assert taken["perplexity"] == pytest.approx([2 ** -(shares * np.log2(shares)).sum(), 2.0])
    assert taken["error"] == [0.5, 0.5]
    figures.add([statistics([1, 0, 0, 0], 1.0), statistics([3, 0], 1.0)])
    assert figures.take() == {"used": [0.25, 0.5], "perplexity": [1.0, 1.0], "error": [1.0, 1.0]}


def test_steps_that_did_not_quantize_have_no_figures_of_stages():
    figures = StageFigures()
    figures.add([])
    assert figures.take() == {}
