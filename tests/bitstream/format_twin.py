"""A decoder written from FORMAT.md alone: plain Python, whole files, no checks but the checksums."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from . import range_twin

NONE = -1  # stands in `codes` for a stage that a frame does not have
RATES = [0, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000]


@dataclass
class Stream:
    fingerprint: bytes = b""
    model_rate: int = 0
    original_rate: int = 0
    hop: int = 0
    channels: int = 0
    packet_frames: int = 0
    stages: list = field(default_factory=list)  # (codebook bits, position bits)
    codes: list = field(default_factory=list)  # [channel][stage][frame]
    samples: int = 0
    minor: int = 0
    varied: list = field(default_factory=list)  # of each packet: whether it has depths


class Bytes:
    def __init__(self, data):
        self.data, self.position = data, 0

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
    packets = 0
    while True:
        start = source.position
        head = source.varint()
        if head == 0:
            break
        body = Bytes(source.take(head // 8))
        check(source, checked, start, packets)
        frames = body.varint() if head & 2 else stream.packet_frames
        varied = bool(head & 4)
        assert stream.minor or not varied
        depths = decode_depths(body, stream, frames) if varied else [[len(stream.stages)] * frames] * stream.channels
        stream.varied.append(varied)
        payload = body.data[body.position :]
        decoded = decode_range(payload, stream, depths, tables) if head & 1 else decode_fixed(payload, stream, depths)
        for channel, more in zip(stream.codes, decoded, strict=True):
            for stage, indices in zip(channel, more, strict=True):
                stage.extend(indices)
        packets += 1
    missing = source.varint()
    check(source, checked, start, packets)
    assert source.position == len(data)
    full = packets * stream.packet_frames * stream.hop * stream.original_rate // stream.model_rate
    stream.samples = full - missing
    return stream


def decode_header(source):
    assert source.take(3) == b"DVQ"
    stream = Stream(minor=[0x10, 0x11].index(source.number(1)))
    stream.fingerprint = source.take(6)
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
    checked = source.data[: source.position]
    assert source.number(2) == zlib.crc32(checked) % 65536
    return stream, checked


def check(source, checked, start, index):
    content = source.data[start : source.position]
    assert source.number(4) == zlib.crc32(checked + content + index.to_bytes(4, "little"))


def decode_depths(body, stream, frames):
    """The depth of each frame of each channel: [channel][frame]."""
    bits = "".join(f"{byte:08b}" for byte in body.data[body.position :])
    position, depths = 0, []
    for _ in range(stream.channels):
        depth, channel = (len(stream.stages) + 1) // 2, []
        for first in range(0, frames, 3):
            zero = bits.index("0", position)
            difference, position = zero - position, zero + 1
            if difference:
                depth += difference if bits[position] == "1" else -difference
                position += 1
            assert 1 <= depth <= len(stream.stages)
            channel += [depth] * min(3, frames - first)
        depths.append(channel)
    assert any(depth < len(stream.stages) for channel in depths for depth in channel)
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
    for _ in range(greatest - 1):
        source.varint()
    positions = [p for _, p in stream.stages]
    return range_twin.decode_stream(payload[source.position :], depths, positions, tables)
