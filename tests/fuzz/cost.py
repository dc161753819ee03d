"""What `info` and `verify` cost: the streams of the corpus and the golden ones, as they are and
repeated, and sound streams of the packets that take the most work for their bytes.
"""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bitstream.examples import content, forged, header
from golden import make_v1

from codec.bitstream import (
    GROUP_FRAMES,
    StageLayout,
    StreamHeader,
    StreamReader,
    read_info,
    verify,
)
from codec.bitstream.packing import fixed_size
from codec.bitstream.stage_counts import pack_depths
from codec.errors import BitstreamError

FOLDERS = Path(__file__).parent / "corpus" / "reader", Path(__file__).parents[1] / "golden" / "v1"
REPEATED_BYTES = 10_000
DEAR_BYTES = 50_000


def streams() -> Iterator[tuple[str, bytes]]:
    """Each stream, and one of its header and of the rest again and again."""
    for path in sorted(file for folder in FOLDERS for file in folder.iterdir()):
        if path.suffix not in ("", ".dvq"):
            continue
        data = path.read_bytes()
        yield path.name, data
        with contextlib.suppress(BitstreamError):
            start = StreamReader(io.BytesIO(data)).offset
            rest = data[start:]
            times = REPEATED_BYTES // max(len(rest), 1)
            yield f"{path.name} x {times}", data[:start] + times * rest
    for name, (head, packet) in dear_packets().items():
        yield name, forged(head, *[packet] * (DEAR_BYTES // (len(packet) + 4)))


def dear_packets() -> dict[str, tuple[StreamHeader, bytes]]:
    """Headers, and contents of packets that take the most work for their bytes: the shortest, and
    those with the most to tell apart.
    """
    one, space = make_v1.PLAIN[:1], (StageLayout(1, 1),)
    unlike = tuple(StageLayout(1, 1 + number % 2) for number in range(127))
    bits_of_unlike = sum(stage.index_bits for stage in unlike)
    return {
        "silence": (header(one * 14, packet_frames=4000), content(4, b"")),
        "range": (header(one), content(1, b"")),
        "index": (header(one, packet_frames=1), content(2 << 3, bytes(2))),
        "position": (header(space, packet_frames=1), content(1 << 3, bytes(1))),
        "depth": (header(one * 2, packet_frames=3), content(1 << 3 | 5, b"\0")),
        "unlike": (
            header(unlike, packet_frames=1),
            content(-(-bits_of_unlike // 8) << 3, bytes(-(-bits_of_unlike // 8))),
        ),
        "groups": varied_packet(space * 3, [0] * 18 + [1]),
        "channels": ranged_packet(one, 8, [1] + [0] * 16, b""),
        "faulty": ranged_packet((StageLayout(13, 7),) * 4, 1, [4] + [0] * 100, b"\x7f" * 3),
        "sparse": varied_packet(space * 127, [127] + [0] * 2751),
    }


def varied_packet(stages: tuple[StageLayout, ...], groups: list[int]) -> tuple[StreamHeader, bytes]:
    """A packet whose groups of frames have so many stages, all indices 0."""
    depths = np.repeat([groups], GROUP_FRAMES, axis=1)
    body = pack_depths(depths, len(stages)) + bytes(fixed_size(stages, depths))
    return header(stages, packet_frames=depths.shape[1]), content(len(body) << 3 | 4, body)


def ranged_packet(
    stages: tuple[StageLayout, ...], channels: int, groups: list[int], ends: bytes
) -> tuple[StreamHeader, bytes]:
    """A range-coded packet with nothing behind the ends; groups are those of each channel."""
    depths = np.repeat([groups] * channels, GROUP_FRAMES, axis=1)
    body = pack_depths(depths, len(stages)) + ends
    head = header(stages, channels=channels, packet_frames=depths.shape[1])
    return head, content(len(body) << 3 | 5, body)


def read_in_every_way(data: bytes) -> None:
    with contextlib.suppress(BitstreamError):
        read_info(io.BytesIO(data))
        verify(io.BytesIO(data))


def processor_seconds(data: bytes) -> float:
    start = time.process_time()
    read_in_every_way(data)
    return time.process_time() - start


def peak_bytes(data: bytes) -> int:
    """The most memory that it takes beyond what was there before."""
    tracemalloc.start()
    read_in_every_way(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
