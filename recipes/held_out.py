"""Which clips a recipe measures on: spread evenly over a folder tree, and only those are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def spread(items: Sequence[Item], at_most: int | None) -> list[Item]:
    """Return `at_most` of the items, the i-th at i · len(items) // at_most; all where there are no
    more, or None is given.
    """
    if at_most is None or at_most >= len(items):
        return list(items)
    return [items[index * len(items) // at_most] for index in range(at_most)]
