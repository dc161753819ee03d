"""Small pictures of 256 colours as PNG files."""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["palette_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE_COLOURS = 3
_NO_FILTER = 0


def palette_png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file (ISO/IEC 15948) of one byte a pixel.

    Args:
        indices: uint8 (height, width), rows from the top.
        palette: uint8 (256, 3), red, green and blue in sRGB.
    """
    height, width = indices.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE_COLOURS, 0, 0, 0)
    rows = np.full((height, width + 1), _NO_FILTER, dtype=np.uint8)
    rows[:, 1:] = indices
    chunks = (
        (b"IHDR", header),
        (b"PLTE", np.asarray(palette, dtype=np.uint8).tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
