"""Compares two pitch tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .track import Track

if TYPE_CHECKING:
    from jaxtyping import Bool

__all__ = ["GROSS", "STRETCH_FRAMES", "PitchFigures", "pitch_figures"]

GROSS = 0.2  # of the original's pitch
STRETCH_FRAMES = 5
_NO_MOVEMENT = 1e-9  # in squared octaves: what rounding leaves of a steady pitch


@dataclass(frozen=True, kw_only=True, slots=True)
class PitchFigures:
    """Errors of pitch, over the frames of some clips; None where there is no frame to tell.

    Attributes:
        voiced_frames: Of the originals.
        lost: The share of these that is not voiced when decoded.
        invented: The share of the originals' other frames that is voiced when decoded.
        gross: The share of the frames voiced in both whose pitch is off by more than 20 %.
        fine_cents: The median size of the error over the others, in hundredths of a semitone.
        contour: The correlation of logarithmic pitch over stretches of at least 5 such frames, each
            less its mean.
    """

    voiced_frames: int
    lost: float | None
    invented: float | None
    gross: float | None
    fine_cents: float | None
    contour: float | None


def pitch_figures(pairs: Sequence[tuple[Track, Track]]) -> PitchFigures:
    """Compute the errors over pairs of tracks, original and decoded, of one length; frames of all
    count alike.
    """
    original = np.concatenate([np.zeros(0), *(one for one, _ in pairs)])
    decoded = np.concatenate([np.zeros(0), *(other for _, other in pairs)])
    voiced, still_voiced = ~np.isnan(original), ~np.isnan(decoded)
    both, close = voiced & still_voiced, _is_close(original, decoded)
    cents = 1200 * np.abs(np.log2(decoded[close] / original[close]))
    return PitchFigures(
        voiced_frames=int(voiced.sum()),
        lost=_share(~still_voiced, voiced),
        invented=_share(still_voiced, ~voiced),
        gross=_share(~close, both),
        fine_cents=float(np.median(cents)) if len(cents) else None,
        contour=_contour(pairs),
    )


def _is_close(original: Track, decoded: Track) -> Bool[np.ndarray, " frames"]:
    """Where both are voiced, and there is no gross error."""
    return np.abs(decoded / original - 1) <= GROSS


def _share(these: Bool[np.ndarray, " frames"], of: Bool[np.ndarray, " frames"]) -> float | None:
    return float(these[of].mean()) if of.any() else None


def _contour(pairs: Sequence[tuple[Track, Track]]) -> float | None:
    """How the pitch moves, whatever its height. A stretch that moves more weighs more; without
    movement, None.
    """
    stretches = [
        [np.log2(track[part]) - np.log2(track[part]).mean() for track in (original, decoded)]
        for original, decoded in pairs
        for part in _stretches(_is_close(original, decoded))
    ]
    if not stretches:
        return None
    original, decoded = np.concatenate(stretches, axis=1)
    size = np.sqrt(np.sum(original**2) * np.sum(decoded**2))
    return float(np.sum(original * decoded) / size) if size > _NO_MOVEMENT else None


def _stretches(wanted: Bool[np.ndarray, " frames"]) -> Iterator[slice]:
    """Runs of wanted frames that are long enough to have a contour."""
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end - start >= STRETCH_FRAMES:
            yield slice(start, end)
