"""`--bitrates 1.5,3,6` and `--stages 3,6,12`: at which rates a recipe measures, on its command
line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

__all__ = ["Bitrates", "StageCounts"]


def _bitrate(word: str) -> float:
    kbps = float(word)
    if not 0 < kbps < math.inf:
        raise ValueError
    return kbps


def _stage_count(word: str) -> int:
    if not word.isdecimal() or not int(word):
        raise ValueError
    return int(word)


def _list_of(read: Callable[[str], float], rule: str, metavar: str) -> tuple[Any, Any]:
    """What tells tyro to read words with commas between them, each value once; a `ValueError` tells
    the rule.
    """

    def values(words: list[str]) -> tuple[float, ...]:
        try:
            return tuple(dict.fromkeys(read(word.strip()) for word in words[0].split(",")))
        except ValueError:
            raise ValueError(f"{rule}, not {words[0]!r}") from None

    spec = PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=values,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda found: [",".join(f"{value:g}" for value in found)],
    )
    return spec, arg(metavar=metavar)


_bitrates, _bitrates_shown = _list_of(
    _bitrate,
    "bitrates are positive numbers with commas between them, such as 1.5,3,6",
    "KBPS,KBPS,...",
)
_stages, _stages_shown = _list_of(
    _stage_count,
    "stages are positive whole numbers with commas between them, such as 3,6,12",
    "N,N,...",
)
Bitrates = Annotated[tuple[float, ...], _bitrates, _bitrates_shown]
StageCounts = Annotated[tuple[int, ...], _stages, _stages_shown]
