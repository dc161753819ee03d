"""Counter-based random numbers against SplitMix64 in Python's integers, and as random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.training.data.counter_random import item_keys, uniform

MASK = (1 << 64) - 1


def splitmix64(state: int) -> int:
    """The output function, as published."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_published_values():
    """The first outputs of SplitMix64 for the seed 1234567, as its implementations in many
    languages list them.
    """
    outputs = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    expected = [(output >> 11) * 2.0**-53 for output in outputs]
    assert uniform(torch.tensor([1234567]), torch.arange(5)).tolist() == expected
    assert [uniform(torch.tensor([1234567]), n).item() for n in range(5)] == expected


@pytest.mark.parametrize(
    ("seed", "epoch"), [(0, 0), (7, 3), (-1, 1 << 40), ((1 << 64) - 1, 5), (1 << 63, 0)]
)
def test_keys_in_python_integers(seed, epoch):
    indices = [0, 1, 2, 1 << 33]
    for index, key in zip(
        indices, item_keys(seed, epoch, torch.tensor(indices)).tolist(), strict=True
    ):
        expected = 0
        for value in (seed, epoch, index):
            expected = splitmix64((expected + 0x9E3779B97F4A7C15 + value) & MASK)
        assert key & MASK == expected


def test_numbers_are_even_and_independent():
    numbers = uniform(item_keys(0, 0, torch.arange(20_000))[:, None], torch.arange(4)).numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.stack([np.histogram(column, bins=50, range=(0, 1))[0] for column in numbers.T])
    chi_square = ((counts - 400) ** 2 / 400).sum(axis=1)
    assert (
        chi_square < 100
    ).all()  # 49 degrees of freedom: a fair source is above 100 in 1 of 40,000 cases
    neighbours = np.concatenate([numbers[:-1], numbers[1:]], axis=1)
    correlation = np.corrcoef(neighbours.T) - np.eye(8)
    assert np.abs(correlation).max() < 0.035  # five standard deviations


def test_epochs_and_seeds_share_nothing():
    indices = torch.arange(1000)
    keys = torch.cat([item_keys(seed, epoch, indices) for seed in range(3) for epoch in range(3)])
    assert len(keys.unique()) == 9000
