"""Noise that follows from the frame's number, the same on every machine."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codec.layouts.noise import decoder_noise

_MASK = (1 << 64) - 1


def split_mix_64(place: int) -> int:
    """Vigna's splitmix64.c, for the state that `place` additions to 0 make."""
    z = ((place + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def test_the_hash_is_split_mix_64():
    assert split_mix_64(0) == 0xE220A8397B1DCDAF  # the first output from seed 0, as published
    made = decoder_noise(0, 20, 3).ravel()
    quarters = [[split_mix_64(place) >> 16 * k & 0xFFFF for k in range(4)] for place in range(60)]
    expected = (np.sum(quarters, axis=1) - 131070) / 37836.65
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)


def test_the_first_values_never_change():
    first, far = decoder_noise(0, 1, 3)[0], decoder_noise(10**9, 1, 2)[0]
    assert [value.hex() for value in first.tolist()] == [
        "0x1.6dba020000000p+0",
        "0x1.1cf9fc0000000p-3",
        "-0x1.74068c0000000p+0",
    ]
    assert [value.hex() for value in far.tolist()] == [
        "-0x1.14bfce0000000p+0",
        "0x1.0305d60000000p-1",
    ]


@given(
    first=st.integers(0, 2**40),
    frames=st.integers(1, 50),
    values=st.integers(1, 9),
    cut=st.integers(0, 50),
)
def test_a_stretch_is_the_same_wherever_it_is_cut(first, frames, values, cut):
    cut = min(cut, frames)
    parts = [decoder_noise(first, cut, values), decoder_noise(first + cut, frames - cut, values)]
    np.testing.assert_array_equal(np.concatenate(parts), decoder_noise(first, frames, values))


def test_it_is_white_and_nearly_gaussian():
    noise = decoder_noise(0, 4000, 16).astype(np.float64)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    kurtosis = (noise**4).mean() / (noise**2).mean() ** 2
    assert abs(kurtosis - 2.7) < 0.1  # of four uniform numbers; 3 of a Gaussian
    correlations = np.corrcoef(noise.T) - np.eye(16)
    assert abs(correlations).max() < 0.07
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.02


def test_no_values_is_no_noise():
    assert decoder_noise(5, 7, 0).shape == (7, 0)
