"""CRC-32, and the way back from a CRC to the packet index under it."""

from __future__ import annotations

import zlib

_POLYNOMIAL = 0xEDB88320
ONES = 0xFFFFFFFF
CHECK_BYTES = 4


def _advance_byte(register: int) -> int:
    for _ in range(8):
        register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    return register


TABLE = [_advance_byte(byte) for byte in range(256)]
_BYTE_BY_TOP = {entry >> 24: byte for byte, entry in enumerate(TABLE)}


def packet_check(state: int, index: int) -> int:
    """The CRC of data of CRC `state` followed by the four bytes of `index`."""
    return zlib.crc32(index.to_bytes(4, "little"), state)


def index_under(state: int, check: int) -> int:
    """The `index` for which `packet_check(state, index)` is `check`: there is always exactly one.

    So a packet that was found by searching tells its index, and any damage makes that index a
    random one of 2^32.
    """
    return go_back(check ^ ONES) ^ state ^ ONES


def go_back(register: int) -> int:
    """Return a CRC's register as it was four zero bytes earlier: the top byte of an entry of its
    table names the entry.
    """
    for _ in range(4):
        byte = _BYTE_BY_TOP[register >> 24]
        register = (register ^ TABLE[byte]) << 8 & ONES | byte
    return register
