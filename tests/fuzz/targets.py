"""What fuzzing calls with any bytes: each target ends well, or in an error of ours, or has found a
fault.

Checksums would stop a fuzzer at the first byte, so most targets put the right ones around its
bytes.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from bitstream.examples import forged, header, read, sealed
from golden import make_v1

from codec.bitstream import (
    LiveFormat,
    StreamHeader,
    cut,
    read_info,
    verify,
)
from codec.bitstream.live_packets import crc8
from codec.bitstream.range_coding import decode_range, encode_range
from codec.bitstream.stage_counts import GROUP_FRAMES, depths_of
from codec.errors import BitstreamError, DiveqCodecError

TABLES = make_v1.tables()
LAYOUT = make_v1.SPACE_FILLING
HEADERS = (
    header(LAYOUT, packet_frames=20),
    header(LAYOUT, packet_frames=4, channels=2, original_rate_hz=44_100),
    header(LAYOUT[:1], packet_frames=1),
    header(LAYOUT, packet_frames=200, channels=3),
)


def fuzz_reader(data: bytes) -> None:
    """A whole file as it is."""
    check_stream(data)


def fuzz_packets(data: bytes) -> None:
    """Packets of any content under right checksums."""
    check_stream(forged(*contents_of(data), missing=b"\0"))
    check_stream(forged(*contents_of(data), missing=data[-3:]))


def fuzz_recovery(data: bytes) -> None:
    """Packets in an order of the fuzzer's, with bytes of the fuzzer's between them."""
    head, *contents = contents_of(data)
    identity = zlib.crc32(contents[0]) if contents else 0
    pieces = [head.to_bytes(identity)]
    for number, content in enumerate(contents):
        index = content[-1] if content else number
        pieces += [sealed(head, content, index, identity), content[: len(content) % 7]]
    check_recovery(b"".join(pieces) + data[:20])


def fuzz_cut(data: bytes) -> None:
    """Cutting a stream that reads well keeps the first stages, and once more the same."""
    stream = forged(*contents_of(data))
    try:
        packets, reader = read(stream, TABLES)
    except BitstreamError:
        return
    for stages in range(1, len(reader.header.stages) + 1):
        shorter = io.BytesIO()
        cut(io.BytesIO(stream), shorter, stages=stages)
        kept, _ = read(shorter.getvalue(), TABLES)
        for one, other in zip(packets, kept, strict=True):
            np.testing.assert_array_equal(one.codes[:, :stages], other.codes)


def fuzz_header(data: bytes) -> None:
    """Header fields with a right check: an error, or a header that is written as it was read."""
    fields = b"DVQ1finger" + data
    sealed_header = fields + (zlib.crc32(fields) & 0xFFFF).to_bytes(2, "little")
    with contextlib.suppress(BitstreamError):
        head = StreamHeader.from_bytes(sealed_header)
        assert sealed_header.startswith(head.checked_bytes(0)[:-4])
    check_stream(sealed_header)


def fuzz_range_decoder(data: bytes) -> None:
    """Any payload: an error, or codes in range whose own encoding decodes to them and ends no
    later.
    """
    frames, depth = data[0] % 30 + 1 if data else 1, data[1] % 3 + 1 if len(data) > 1 else 3
    depths = np.full((1, frames), depth)
    depths[:, : len(data) // GROUP_FRAMES % 9 * GROUP_FRAMES] = min(depth, 2)
    with contextlib.suppress(BitstreamError):
        codes = decode_range(data[2:], LAYOUT, TABLES, depths)
        np.testing.assert_array_equal(depths_of(codes), depths)
        payload = encode_range(codes, LAYOUT, TABLES)
        assert len(payload) <= len(data) - 2
        np.testing.assert_array_equal(decode_range(payload, LAYOUT, TABLES, depths), codes)


def fuzz_live_packet(data: bytes) -> None:
    """A datagram with a right check."""
    live = LiveFormat(fingerprint=b"finger", stages=LAYOUT, tables=TABLES)
    layout = bytes(f for stage in LAYOUT for f in (stage.codebook_bits, stage.position_bits))
    check = crc8(data, crc8(b"finger\1" + layout))
    with contextlib.suppress(BitstreamError):
        packet = live.unpack(data + bytes([check]))
        repacked = live.unpack(live.pack(packet))
        np.testing.assert_array_equal(packet.codes, repacked.codes)


def fuzz_model(data: bytes) -> None:
    """A model file of any configuration around sound weights, or any bytes at all."""
    from codec.checkpoint import Checkpoint

    for content in (data, _model_with(data)):
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            file.write(content)
            file.flush()
            with contextlib.suppress(DiveqCodecError):
                Checkpoint.load(file.name)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "reader": fuzz_reader,
    "packets": fuzz_packets,
    "recovery": fuzz_recovery,
    "cut": fuzz_cut,
    "header": fuzz_header,
    "range_decoder": fuzz_range_decoder,
    "live_packet": fuzz_live_packet,
    "model": fuzz_model,
}


def contents_of(data: bytes) -> Iterator:
    """A header that the first byte names, and contents of packets: a byte of length, then so many
    bytes.
    """
    yield HEADERS[data[0] % len(HEADERS)] if data else HEADERS[0]
    position = 1
    while position < len(data):
        length = data[position]
        yield data[position + 1 : position + 1 + length]
        position += 1 + length


def check_stream(data: bytes) -> None:
    """All readers: what is read strictly has no faults, and what has faults is not."""
    try:
        packets, reader = read(data, TABLES)
    except BitstreamError:
        packets, reader = None, None
    check_recovery(data)
    if packets is None or reader is None:
        return
    assert verify(io.BytesIO(data), TABLES) == ()
    assert reader.header.frames_for(reader.samples) == sum(packet.frames for packet in packets)
    limits = np.array([stage.max_index for stage in reader.header.stages])[:, None]
    assert all((packet.codes >= -1).all() and (packet.codes <= limits).all() for packet in packets)


def check_recovery(data: bytes) -> None:
    """Recovered packets follow one another without a gap, and make the length that is said."""
    try:
        packets, reader = read(data, TABLES, recover=True)
    except BitstreamError:
        return
    position = 0
    for packet in packets:
        assert packet.first_frame == position
        position += packet.frames
    header = reader.header
    # Where a frame is shorter than a sample, there are numbers of frames that no samples make.
    assert 0 <= position - header.frames_for(reader.samples) < header.frames_for(1)
    info = read_info(io.BytesIO(data))
    assert (info.frames, info.samples) == (position, reader.samples)
    assert bool(info.holes) <= bool(verify(io.BytesIO(data)))


def _model_with(config: bytes) -> bytes:
    """A model file whose configuration is any text, around weights that are none."""
    from safetensors.numpy import save

    from codec.checkpoint import FORMAT

    text = config.decode(errors="replace")
    metadata = {"format": FORMAT, "fingerprint": "00" * 6, "config": text}
    return save({"model.x": np.zeros(4, np.float32)}, metadata)
