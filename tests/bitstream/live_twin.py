"""A decoder of live packets written from LIVE.md alone: plain Python, no checks but that of the
packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import range_twin

NONE = -1


@dataclass
class Packet:
    sequence: int
    codes: list = field(default_factory=list)  # [channel][stage][frame]
    copies: list = field(
        default_factory=list
    )  # of the packets before, latest first: such codes, or None


def decode(data, fingerprint, stages, channels, tables=None):
    """`stages` are (codebook bits, position bits); `tables` is a `range_twin.Tables`."""
    agreed = fingerprint + bytes([channels]) + bytes(number for stage in stages for number in stage)
    assert crc8(agreed + data[:-1]) == data[-1]
    packet, rest = Packet(data[0] % 128), data[1:-1]
    if data[0] >= 128:
        count, rest = rest[0], rest[1:]
        for _ in range(count):
            length, rest = rest[0], rest[1:]
            copy, rest = rest[:length], rest[length:]
            packet.copies.append(decode_body(copy, stages, channels, tables) if copy else None)
    packet.codes = decode_body(rest, stages, channels, tables)
    return packet


def crc8(data):
    """The remainder of data · x⁸ by x⁸ + x² + x + 1, over the field of two elements."""
    value = int.from_bytes(data, "big") << 8
    while value.bit_length() > 8:
        value ^= 0b100000111 << value.bit_length() - 9
    return value


def decode_body(body, stages, channels, tables):
    bits = "".join(f"{byte:08b}" for byte in body)
    frames, position = int(bits[:4], 2) + 1, 4
    depths, first = [], None
    for channel in range(channels):
        groups = []
        for group in range(-(-frames // 3)):
            if channel == group == 0:
                width = len(f"{len(stages):b}")
                depth, position = int(bits[position : position + width], 2), position + width
            else:
                reference = groups[-1] if group else first
                ones = bits.index("0", position) - position
                position += ones + 1
                depth = reference
                if ones:
                    depth += ones if bits[position] == "1" else -ones
                    position += 1
            groups.append(depth)
        first = groups[0]
        depths.append([groups[frame // 3] for frame in range(frames)])
    payload = body[-(-position // 8) :]
    size = sum(sum(b + p for b, p in stages[:depth]) for channel in depths for depth in channel)
    if len(payload) == -(-size // 8):
        return decode_fixed(payload, stages, depths)
    return range_twin.decode_stream(payload, depths, [p for _, p in stages], tables)[0]


def decode_fixed(payload, stages, depths):
    bits = iter("".join(f"{byte:08b}" for byte in payload))
    codes = [[[NONE] * len(channel) for _ in stages] for channel in depths]
    for stage, (b, p) in enumerate(stages):
        for channel, of_channel in enumerate(depths):
            for frame, depth in enumerate(of_channel):
                if stage < depth:
                    codes[channel][stage][frame] = int("".join(next(bits) for _ in range(b + p)), 2)
    return codes
