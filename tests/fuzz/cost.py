"""What `info` and `verify` cost: the streams of the corpus and the golden ones, as they are and
repeated, and sound streams of the shortest packets that there are.
"""

from __future__ import annotations

import contextlib
import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from bitstream.examples import content, forged, header
from golden import make_v1

from codec.bitstream import StreamHeader, StreamReader, read_info, verify
from codec.errors import BitstreamError

FOLDERS = Path(__file__).parent / "corpus" / "reader", Path(__file__).parents[1] / "golden" / "v1"
REPEATED_BYTES = 10_000


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
    for name, (head, packet) in shortest_packets().items():
        yield name, forged(head, *[packet] * (REPEATED_BYTES // (len(packet) + 4)))


def shortest_packets() -> dict[str, tuple[StreamHeader, bytes]]:
    """Headers, and contents of packets that take the most work for their bytes."""
    one, space = make_v1.PLAIN[:1], make_v1.SPACE_FILLING[:1]
    index_bytes = -(-space[0].index_bits // 8)
    return {
        "no stages": (header(one * 14, packet_frames=4000), content(4, b"")),
        "nothing of one stage": (header(one), content(1, b"")),
        "one index": (header(one, packet_frames=1), content(2 << 3, bytes(2))),
        "one position": (
            header(space, packet_frames=1),
            content(index_bytes << 3, bytes(index_bytes)),
        ),
        "one depth": (header(one * 2, packet_frames=3), content(1 << 3 | 5, b"\0")),
    }


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
