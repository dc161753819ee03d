"""Places the names of curves beside their last points, clear of the data and of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Box", "place_labels"]

_CHARACTER_WIDTH, _HEIGHT, _GAP = 7.0, 16.0, 9.0
_LABEL_COST, _OUTSIDE_COST = 1000, 10_000

Position = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A label's place in pixels; its text starts at `left`, and its middle is at `middle`."""

    left: float
    middle: float
    width: float

    def holds(self, position: Position) -> bool:
        """Whether a position lies inside."""
        x, y = position
        return self.left <= x <= self.left + self.width and abs(y - self.middle) <= _HEIGHT / 2

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        apart = self.left + self.width < other.left or other.left + other.width < self.left
        return not apart and abs(self.middle - other.middle) < _HEIGHT


def place_labels(
    texts: Sequence[str],
    ends: Sequence[Position],
    obstacles: Sequence[Position],
    left: float,
    right: float,
    bottom: float,
) -> list[Box]:
    """Choose a place for each text near its end point, greedily: over as few obstacles as possible.

    Args:
        texts: One for each end point.
        ends: Where the curves end, in pixels.
        obstacles: Positions along all that is drawn.
        left: Where the part of the picture begins that labels may use.
        right: Where it ends.
        bottom: Where it ends below; it begins at 0.
    """
    placed: list[Box] = []
    for text, end in zip(texts, ends, strict=True):
        candidates = list(_candidates(end, _CHARACTER_WIDTH * len(text)))
        placed.append(
            min(candidates, key=lambda box: _cost(box, placed, obstacles, left, right, bottom))
        )
    return placed


def _candidates(end: Position, width: float) -> Iterator[Box]:
    """List possible places, the best first."""
    x, y = end
    for shift in (0.0, -12.0, 12.0, -20.0, 20.0, -30.0, 30.0):
        yield Box(x + _GAP, y + shift, width)
    for shift in (-18.0, 18.0, -28.0, 28.0, -40.0, 40.0):
        yield Box(x - width / 2, y + shift, width)
        yield Box(x - width - _GAP, y + shift, width)


def _cost(
    box: Box,
    placed: Sequence[Box],
    obstacles: Sequence[Position],
    left: float,
    right: float,
    bottom: float,
) -> float:
    inside = left <= box.left <= right - box.width and _HEIGHT / 2 <= box.middle <= bottom
    return (
        _OUTSIDE_COST * (not inside)
        + _LABEL_COST * sum(box.meets(other) for other in placed)
        + sum(box.holds(position) for position in obstacles)
    )
