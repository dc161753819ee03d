"""The modified discrete cosine transform and its bands, as the matrices that both backends multiply
with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

QUIETEST = 1e-9  # of the mean square of a band, -90 dBFS: below it the shape fades out
LEVEL_CENTRE = -6.0  # of a band's log level: what stands for 0, -52 dBFS
LEVEL_RANGE = (-14.0, 3.0)  # of a band's log level in the decoder, -122 dBFS to +26 dBFS


def mdct_basis(hop: int) -> np.ndarray:
    """The orthonormal MDCT with a sine window: float32 (hop coefficients, 2·hop samples of a
    frame).

    With B this matrix and frames x taken every hop samples, the frames' Bᵀ·B·x overlap and add up
    to the signal.

    >>> basis = mdct_basis(4)
    >>> bool(np.allclose(basis @ basis.T, np.eye(4), atol=1e-6))
    True
    """
    sample = np.arange(2 * hop) + 0.5
    frequency = (np.arange(hop) + 0.5)[:, None]
    window = np.sin(np.pi / (2 * hop) * sample)
    return (
        np.sqrt(2 / hop) * window * np.cos(np.pi / hop * frequency * (sample + hop / 2))
    ).astype(np.float32)


def band_of(widths: Sequence[int]) -> np.ndarray:
    """Which band each coefficient belongs to, int64 (hop,).

    >>> band_of((1, 3)).tolist()
    [0, 1, 1, 1]
    """
    return np.repeat(np.arange(len(widths)), widths)


def band_pool(widths: Sequence[int]) -> np.ndarray:
    """The matrix that takes coefficients to the means of bands: float32 (hop, bands)."""
    belongs = band_of(widths)[:, None] == np.arange(len(widths))
    return belongs.astype(np.float32) / np.array(widths, np.float32)
