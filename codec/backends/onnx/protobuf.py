"""Protocol buffers' wire format, as far as an ONNX file needs it: integers, floats, bytes, and
messages of these.

A message is a sequence of fields; a field is a varint `number << 3 | kind`, then its value:

    kind 0   varint: seven bits a byte, the lowest first, the eighth says that more follow
    kind 2   a varint length, then so many bytes: a string, bytes, or a message
    kind 5   a little-endian float32

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

Value = int | float | str | bytes

_VARINT, _BYTES, _FLOAT = 0, 2, 5


def message(*fields: tuple[int, Value | Iterable[Value]]) -> bytes:
    """A message of (number, value) fields in this order; a list of values repeats its field.

    >>> message((1, 300), (2, "ab"), (3, [message((1, 1))])).hex(" ")
    '08 ac 02 12 02 61 62 1a 02 08 01'
    """
    parts = []
    for number, given in fields:
        values = [given] if isinstance(given, int | float | str | bytes) else given
        parts += [part for value in values for part in _field(number, value)]
    return b"".join(parts)


def _field(number: int, value: Value) -> tuple[bytes, ...]:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT), _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | _FLOAT), struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES), _varint(len(content)), content


def _varint(value: int) -> bytes:
    if value < 0:
        value += 1 << 64  # as two's complement of 64 bits
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
