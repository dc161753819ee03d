"""Unsigned LEB128 integers: seven bits a byte, low bits first, the top bit announces another byte."""

from __future__ import annotations


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
