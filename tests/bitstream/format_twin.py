"""A decoder written from FORMAT.md alone: plain Python, whole files, no checks but those of sums
and identity.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from . import range_twin

NONE = -1  # stands in `codes` for a stage that a frame does not have
RATES = [
    *(0, 8000, 11025, 12000, 16000, 22050, 24000),
    *(32000, 44100, 48000, 88200, 96000, 176400, 192000),
]


@dataclass
class Stream:
    fingerprint: bytes = b""
    model_rate: int = 0
    original_rate: int = 0
    hop: int = 0
    channels: int = 0
    packet_frames: int = 0
    stages: list = field(default_factory=list)  # (codebook bits, position bits)
    identity: int = 0
    codes: list = field(default_factory=list)  # [channel][stage][frame]
    samples: int = 0
    varied: list = field(default_factory=list)  # of each packet: whether not all frames are full


class Bytes:
    def __init__(self, data):
        self.data, self.position = data, 0

    @property
    def left(self):
        return len(self.data) - self.position

    def take(self, count):
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def varint(self):
        byte = self.number(1)
        return byte if byte < 128 else byte - 128 + 128 * self.varint()

    def rate(self, same=None):
        value = self.varint()
        if value == 0:
            return same
        return RATES[value] if value < 16 else value - 16


def decode(data, tables=None):
    """`tables` is a `range_twin.Tables`."""
    source = Bytes(data)
    stream, checked = decode_header(source)
    stream.codes = [[[] for _ in stream.stages] for _ in range(stream.channels)]
    checks, identity = [], 0
    while True:
        start = source.position
        head = source.varint()
        if head == 0:
            break
        body = Bytes(source.take(head // 8))
        if not checks:
            identity = zlib.crc32(data[start : source.position])
        checks.append(check(source, checked, start, len(checks)))
        stream.varied.append(bool(head & 4))
        for channel, more in zip(
            stream.codes, decode_body(head, body, stream, tables), strict=True
        ):
            for stage, indices in zip(channel, more, strict=True):
                stage.extend(indices)
    missing = source.varint()
    assert source.number(4) == zlib.crc32(b"".join(checks))
    check(source, checked, start, len(checks))
    assert source.position == len(data)
    assert stream.identity == identity
    frames = len(checks) * stream.packet_frames
    stream.samples = frames * stream.hop * stream.original_rate // stream.model_rate - missing
    return stream


def decode_header(source):
    assert source.take(4) == b"DVQ1"
    stream = Stream(fingerprint=source.take(6))
    stream.model_rate = source.rate()
    stream.original_rate = source.rate(same=stream.model_rate)
    stream.hop = source.varint()
    stream.channels = source.number(1)
    stream.packet_frames = source.varint()
    more = True
    while more:
        count, bits = source.take(2)
        more = count >= 128
        stream.stages += [(bits % 16 + 1, bits // 16)] * (count % 128)
    stream.identity = source.number(4)
    checked = source.data[: source.position]
    assert source.number(2) == zlib.crc32(checked) % 65536
    return stream, checked


def check(source, checked, start, index):
    content = source.data[start : source.position]
    found = source.take(4)
    expected = zlib.crc32(checked + content + index.to_bytes(4, "little"))
    assert found == expected.to_bytes(4, "little")
    return found


def decode_body(head, body, stream, tables):
    """Codes [channel][stage][frame] of a packet."""
    is_ranged, is_varied = head & 1, head & 4
    frames = body.varint() if head & 2 else stream.packet_frames
    depths = [[len(stream.stages)] * frames] * stream.channels
    if is_varied and not is_ranged and not body.left:
        depths = [[0] * frames] * stream.channels
    elif is_varied:
        depths = decode_depths(body, stream, frames)
    payload = body.take(body.left)
    if is_ranged:
        return decode_range(payload, stream, depths, tables)
    return decode_fixed(payload, stream, depths)


def decode_depths(body, stream, frames):
    """The depth of each frame of each channel: [channel][frame]."""
    bits = "".join(f"{byte:08b}" for byte in body.data[body.position :])
    groups = -(-frames // 3)
    position, sizes = 0, []
    for _ in range(stream.channels * groups):
        zero = bits.index("0", position)
        sizes.append(zero - position)
        position = zero + 1
    depths = []
    for first in range(0, len(sizes), groups):
        depth, channel = (len(stream.stages) + 1) // 2, []
        for size in sizes[first : first + groups]:
            if size:
                depth += size if bits[position] == "1" else -size
                position += 1
            assert 0 <= depth <= len(stream.stages)
            channel += [depth] * 3
        depths.append(channel[:frames])
    found = {depth for channel in depths for depth in channel}
    assert found not in ({0}, {len(stream.stages)})
    size = -(-position // 8)
    assert "1" not in bits[position : 8 * size]
    body.take(size)
    return depths


def decode_fixed(payload, stream, depths):
    bits = "".join(f"{byte:08b}" for byte in payload)
    position = 0
    codes = [[[] for _ in stream.stages] for _ in range(stream.channels)]
    for stage, (b, p) in enumerate(stream.stages):
        for channel, of_channel in zip(codes, depths, strict=True):
            for depth in of_channel:
                if depth <= stage:
                    channel[stage].append(NONE)
                    continue
                channel[stage].append(int(bits[position : position + b + p], 2))
                position += b + p
    assert len(bits) == -(-position // 8) * 8
    assert "1" not in bits[position:]
    return codes


def decode_range(payload, stream, depths, tables):
    source = Bytes(payload)
    greatest = max(depth for channel in depths for depth in channel)
    ends = []
    for _ in range(greatest - 1):
        ends.append(source.varint() + (ends[-1] if ends else 0))
    positions = [p for _, p in stream.stages]
    coded = source.take(source.left)
    codes, lows = range_twin.decode_stream(coded, depths, positions, tables)
    assert [range_twin.bytes_needed(coded, *low) for low in lows[:greatest]] == [*ends, len(coded)]
    return codes
