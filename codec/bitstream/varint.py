"""Unsigned LEB128 integers: seven bits a byte, low bits first, the top bit announces another
byte.
"""

from __future__ import annotations

from ..errors import BitstreamError


def encode_varint(value: int) -> bytes:
    """The shortest encoding of `value` >= 0.

    >>> encode_varint(300).hex()
    'ac02'
    """
    if value < 0:
        raise ValueError(f"a varint is at least 0, not {value}")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def take_varint(data: bytes, start: int, max_bytes: int, what: str) -> tuple[int, int]:
    """The varint of at most `max_bytes` bytes at `start`, in its shortest form, and where it stops.

    >>> take_varint(bytes.fromhex("ac02"), 0, 4, "a number")
    (300, 2)
    """
    value = 0
    for place in range(max_bytes):
        if start + place >= len(data):
            raise BitstreamError(f"the stream is cut off in {what}")
        byte = data[start + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if byte == 0 and place > 0:
                raise BitstreamError(f"{what} is not in its shortest form")
            return value, start + place + 1
    raise BitstreamError(f"{what} is absurd: longer than {max_bytes} bytes")
