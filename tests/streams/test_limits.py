"""How long a stream may be to be decoded: refused before it costs anything."""

from __future__ import annotations

import io

import numpy as np
import pytest

from codec.bitstream import StageLayout, StreamHeader, StreamReader, StreamWriter
from codec.errors import BitstreamError, ConfigError
from codec.streams.limits import limited_packets


class Pipe(io.BytesIO):
    def seekable(self):
        return False


def silent_stream(frames, channels=1):
    """Two frames a second, all without a stage: five bytes for a thousand of them."""
    header = StreamHeader(
        fingerprint=bytes(6),
        model_rate_hz=16_000,
        original_rate_hz=16_000,
        hop=8000,
        channels=channels,
        packet_frames=1000,
        stages=(StageLayout(3),),
    )
    file = io.BytesIO()
    writer = StreamWriter(file, header)
    writer.write(np.full((channels, 1, frames), -1))
    writer.close(samples=frames * 8000)
    return file.getvalue()


def packets(file, *, rate=16_000, max_seconds=None, recover=False):
    stream = StreamReader(file)
    return list(limited_packets(stream, None, rate=rate, max_seconds=max_seconds, recover=recover))


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
def test_a_hollow_stream_is_refused_unless_it_is_asked_for(kind):
    data = silent_stream(2000)
    assert len(data) < 60
    with pytest.raises(
        BitstreamError, match=r"too long: its \d+ bytes decode to \d+ s .* and 30\d s are allowed"
    ):
        packets(kind(data))
    assert len(packets(kind(data), max_seconds=1000)) == 2
    with pytest.raises(
        BitstreamError,
        match=r"decode to 1000 s over all channels, and 999 s are allowed; max_seconds",
    ):
        packets(kind(data), max_seconds=999)
    assert len(packets(kind(silent_stream(600)))) == 1


def test_channels_and_fast_rates_count():
    data = silent_stream(600, channels=4)
    with pytest.raises(BitstreamError, match="decode to 1200 s over all channels"):
        packets(io.BytesIO(data))
    with pytest.raises(BitstreamError, match="decode to 4800 s over all channels"):
        packets(io.BytesIO(data), rate=192_000, max_seconds=1200)


def test_claimed_losses_count():
    """The end marker alone: two packets are said to be missing."""
    data = silent_stream(2000)
    start = StreamReader(io.BytesIO(data)).offset
    hollow = data[:start] + data[start + 10 :]
    for kind in (io.BytesIO, Pipe):
        with pytest.raises(BitstreamError, match=r"decode to \d+ s over all channels"):
            packets(kind(hollow), recover=True)
        assert [p.codes for p in packets(kind(hollow), recover=True, max_seconds=2000)] == [
            None,
            None,
        ]


def test_a_pipe_is_stopped_as_soon_as_it_is_too_long():
    file = Pipe(silent_stream(200_000))
    with pytest.raises(BitstreamError, match="decode to 500 s"):
        packets(file)
    assert StreamReader(io.BytesIO(silent_stream(200_000))).measure() == (
        200_000,
        len(silent_stream(200_000)),
    )


def test_measuring_leaves_the_stream_where_it_was():
    data = b"before" + silent_stream(300)
    file = io.BytesIO(data)
    file.seek(6)
    stream = StreamReader(file)
    assert stream.measure() == (300, len(data) - 6)
    assert [packet.frames for packet in stream.packets()] == [300]
    with pytest.raises(BitstreamError, match="cut off"):
        StreamReader(io.BytesIO(data[6:-1])).measure()
    assert StreamReader(Pipe(data[6:])).measure() is None


def test_only_a_positive_length_can_be_asked_for():
    with pytest.raises(ConfigError, match="max_seconds is positive, not 0"):
        packets(io.BytesIO(silent_stream(1)), max_seconds=0)
