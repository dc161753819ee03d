"""Streams, layouts and tables to test with."""

from __future__ import annotations

import bisect
import io
import itertools
import zlib

import numpy as np
from hypothesis import strategies as st

from codec.bitstream import (
    NONE,
    EntropyTables,
    NetworkLayer,
    StageLayout,
    StageNetwork,
    StageTable,
    StreamHeader,
    StreamReader,
    StreamWriter,
    cut,
)
from codec.bitstream.framing import Framing

from . import range_twin

TWO_STAGES = (StageLayout(10),) * 2


def header(stages=TWO_STAGES, **changes):
    fields = {
        "fingerprint": b"finger",
        "model_rate_hz": 16_000,
        "original_rate_hz": 16_000,
        "hop": 320,
        "channels": 1,
        "packet_frames": 5,
        "stages": tuple(stages),
    }
    return StreamHeader(**(fields | changes))


def random_codes(rng, stages, channels, frames):
    """Uniform indices, with the last codeword made likelier, as it has no positions."""
    codes = np.stack(
        [rng.integers(0, stage.max_index + 1, (channels, frames)) for stage in stages], axis=1
    )
    limits = np.array([stage.max_index for stage in stages])[:, None]
    return np.where(rng.random(codes.shape) < 0.1, limits, codes).astype(np.int32)


def likely_codes(rng, stages, channels, frames, tables):
    """Indices drawn from the tables, so that range coding pays."""
    twin = twin_tables(tables, stages)
    drawn = [[[] for _ in stages] for _ in range(channels)]
    for channel, stage, frame in np.ndindex(channels, len(stages), frames):
        row = twin.row(stage, drawn[channel], frame)
        drawn[channel][stage].append(bisect.bisect_right(row, rng.integers(range_twin.TOTAL)) - 1)
    words = np.array(drawn, np.int32).reshape(channels, len(stages), frames)
    position_bits = np.array([stage.position_bits for stage in stages])[:, None]
    limits = np.array([stage.max_index for stage in stages])[:, None]
    return np.minimum(
        words << position_bits | rng.integers(0, 1 << position_bits, words.shape), limits
    )


def varied(rng, codes, packet_frames):
    """Codes of which packet by packet all frames, some, or none keep all their stages, or frames
    have none at all.

    The frames of a group of three are alike.
    """
    codes = codes.copy()
    stages = np.arange(codes.shape[1])[:, None]
    for start in range(0, codes.shape[2], packet_frames):
        packet = codes[:, :, start : start + packet_frames]
        depths = rng.integers(0, len(stages) + 1, (len(codes), -(-packet.shape[2] // 3)))
        kind = rng.choice(["full", "some", "fewer", "none"])
        if kind == "full":
            depths[:] = len(stages)
        elif kind == "some":
            depths.flat[rng.integers(depths.size)] = len(stages)
        elif kind == "fewer":
            depths = np.minimum(depths, len(stages) - 1)
        else:
            depths[:] = 0
        packet[stages >= depths.repeat(3, axis=1)[:, None, : packet.shape[2]]] = NONE
    return codes


def random_tables(rng, stages, largest=40_000):
    """Tables of all three sources, with very uneven counts, and networks."""
    tables = []
    for number, stage in enumerate(stages):
        if 2 <= stage.codebook_bits <= 8 and rng.random() < 0.3:
            tables.append(random_network(rng, stage, tables))
            continue
        source = rng.choice(["none", "previous_frame", *(["previous_stage"] if number else [])])
        giver = stages[number - 1] if source == "previous_stage" else stage
        bits = 0 if source == "none" else int(rng.integers(1, min(giver.codebook_bits, 4) + 1))
        rows = (1 << bits) + (source == "previous_frame")
        counts = 1 + largest * rng.random((rows, stage.codewords)) ** 8
        tables.append(StageTable(str(source), bits, counts.astype(np.int64)))
    return EntropyTables(tuple(tables))


def random_network(rng, stage, before):
    """A network for a stage behind those of the tables `before`, which sees what it may see."""
    dims = [table.points.shape[1] if isinstance(table, StageNetwork) else 0 for table in before]
    dims.append(int(rng.integers(1, 4)))
    may_see = [
        (ahead, number)
        for number, size in enumerate(dims)
        for ahead in range(-2, 3)
        if size and (number < len(before) or ahead < 0)
    ]
    sees = rng.permutation(may_see)[: int(rng.integers(1, len(may_see) + 1))]
    sizes = [sum(dims[number] for _, number in sees), *rng.integers(1, 6, rng.integers(0, 3))]
    sizes.append(stage.codewords)
    layers = [
        NetworkLayer(
            rng.integers(-128, 128, (first, second)),
            rng.integers(-5000, 5000, second),
            int(rng.integers(3, 9)),
        )
        for first, second in itertools.pairwise(map(int, sizes))
    ]
    points = rng.integers(-128, 128, (stage.codewords, dims[-1]))
    return StageNetwork(points, sees, tuple(layers), expected_bits=stage.codebook_bits)


def skewed_codes(rng, stages, channels, frames):
    """Indices whose codewords are mostly small, so that range coding pays."""
    codes = random_codes(rng, stages, channels, frames)
    for number, stage in enumerate(stages):
        if stage.codebook_bits > 2:
            codes[:, number] >>= rng.integers(0, stage.codebook_bits - 1, codes[:, number].shape)
    return codes


def skewed_tables(stages):
    """Static tables for `skewed_codes`."""
    return EntropyTables(
        tuple(
            StageTable(
                "none", 0, (1 + 60_000 // (1 + np.arange(stage.codewords)))[None].astype(np.int64)
            )
            for stage in stages
        )
    )


def twin_tables(tables, stages):
    """The tables as `range_twin` and `format_twin` take them."""
    as_lists = [_as_lists(table) for table in tables.stages]
    return range_twin.Tables(as_lists, [stage.codebook_bits for stage in stages])


def _as_lists(table):
    if isinstance(table, StageTable):
        return table.source, table.context_bits, table.counts.tolist()
    layers = [(la.weights.tolist(), la.biases.tolist(), la.shift) for la in table.layers]
    return "network", table.sees.tolist(), table.points.tolist(), layers


def write(codes, head, tables=None, samples=None):
    """The bytes of a stream."""
    file = io.BytesIO()
    writer = StreamWriter(file, head, tables)
    writer.write(codes)
    writer.close(samples=head.samples_in(codes.shape[2]) if samples is None else samples)
    return file.getvalue()


def read(data, tables=None, recover=False):
    """The packets of a stream, and its reader."""
    reader = StreamReader(io.BytesIO(data))
    return list(reader.packets(tables, recover=recover)), reader


def read_codes(data, tables=None):
    packets, reader = read(data, tables)
    empty = np.zeros((reader.header.channels, len(reader.header.stages), 0), np.int32)
    return np.concatenate([empty, *(packet.codes for packet in packets)], axis=2)  # pyright: ignore[reportCallIssue]


def cut_to(data, stages):
    """The bytes of a stream cut to its first stages."""
    out = io.BytesIO()
    cut(io.BytesIO(data), out, stages=stages)
    return out.getvalue()


def content(head_value, body):
    """Head and body of a packet."""
    return range_twin.varint(head_value) + body


def sealed(head, data, index, identity):
    """Any bytes with a checksum that fits."""
    checked = head.checked_bytes(identity) + data + index.to_bytes(4, "little")
    return data + zlib.crc32(checked).to_bytes(4, "little")


def forged(head, *contents, missing=b"\0"):
    """A stream of packets of any contents, with an identity, checksums and a sum that fit.

    `missing` is what stands between the end marker's head and its sum; None for no end marker.
    """
    identity = zlib.crc32(contents[0]) if contents else 0
    framing = Framing(head, identity)
    packets = [framing.sealed(data, index) for index, data in enumerate(contents)]
    data = head.to_bytes(identity) + b"".join(packets)
    if missing is None:
        return data
    total = zlib.crc32(b"".join(packet[-4:] for packet in packets))
    end = b"\0" + missing + total.to_bytes(4, "little")
    return data + sealed(head, end, len(packets), identity)


def packet_spans(data):
    """Where each packet of a whole stream lies: (first byte, byte after the last)."""
    packets, _ = read_raw(data)
    return [(packet.offset, packet.offset + packet.size_bytes) for packet in packets]


def read_raw(data, recover=False):
    reader = StreamReader(io.BytesIO(data))
    return list(reader.raw_packets(recover=recover)), reader


@st.composite
def layouts(draw, max_stages=5, max_codebook_bits=16):
    stages = []
    for _ in range(draw(st.integers(1, max_stages))):
        bits = draw(st.integers(1, max_codebook_bits))
        stages.append(StageLayout(bits, draw(st.integers(0, min(7, 20 - bits)))))
    return tuple(stages)


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
