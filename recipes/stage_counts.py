"""`--stages 3,6,12`: numbers of quantizer stages on the command line of a recipe."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

__all__ = ["StageCounts"]


def _read(words: list[str]) -> tuple[int, ...]:
    numbers = [word.strip() for word in words[0].split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise ValueError(f"stages are numbers with commas between them, such as 3,6,12, not {words[0]!r}")
    return tuple(map(int, numbers))


_spec = PrimitiveConstructorSpec(
    nargs=1,
    metavar="N,N,...",
    instance_from_str=_read,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda counts: [",".join(map(str, counts))],
)
StageCounts = Annotated[tuple[int, ...], _spec, arg(metavar="N,N,...")]
