"""Limits how long a stream may be: the cost of decoding follows from its bytes, or needs
consent.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..bitstream import EntropyTables, Packet, StreamHeader, StreamReader
from ..errors import BitstreamError, ConfigError

DAY_SECONDS = 86_400.0
# A stream may be so long whatever its size, and so much longer for each byte: 80 bit/s for a
# channel. One stage in a fourth of the frames, as quiet speech has it, takes more.
FREE_SECONDS = 300.0
SECONDS_PER_BYTE = 0.1
_USUAL_RATE_HZ = 48_000  # a second of a faster rate counts for more


def limited_packets(
    stream: StreamReader,
    tables: EntropyTables | None,
    *,
    rate: int,
    max_seconds: float | None,
    recover: bool = False,
) -> Iterator[Packet]:
    """Yield the packets of a stream; raise a `BitstreamError` where it is too long to be decoded at
    `rate`.

    A file is read through before any of it is decoded. A pipe cannot be: it is checked as it comes.
    """
    if max_seconds is not None and not max_seconds > 0:
        raise ConfigError(f"max_seconds is positive, not {max_seconds}")
    weight = _weight(stream.header, rate)
    measured = stream.measure(recover=recover)
    if measured is not None:
        _check(*measured, weight, max_seconds)
    for packet in stream.packets(tables, recover=recover):
        if measured is None:
            read_bytes = packet.offset + packet.size_bytes
            _check(packet.first_frame + packet.frames, read_bytes, weight, max_seconds)
        yield packet


def _weight(header: StreamHeader, rate: int) -> float:
    """Channel-seconds of a frame, those of fast rates counted several times."""
    seconds = header.hop / header.model_rate_hz
    return seconds * header.channels * max(1.0, rate / _USUAL_RATE_HZ)


def _check(frames: int, size_bytes: int, weight: float, max_seconds: float | None) -> None:
    allowed = max_seconds
    if allowed is None:
        allowed = min(FREE_SECONDS + SECONDS_PER_BYTE * size_bytes, DAY_SECONDS)
    found = frames * weight
    if found > allowed:
        raise BitstreamError(
            f"the stream is too long: its {size_bytes} bytes decode to {found:.0f} s over all"
            f" channels, and {allowed:.0f} s are allowed; max_seconds (--max-hours) allows more"
        )
