"""Describes, checks and cuts `.dvq` files without their model."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import BitstreamError
from ..files.output import atomic_output
from .entropy import EntropyTables
from .header import StreamHeader
from .packet_run import PacketRun
from .packing import cut_fixed
from .range_coding import cut_range
from .reader import StreamReader
from .recovery import Loss
from .stage_counts import extremes, limited
from .writer import PacketWriter

_MOST_FAULTS = 1000  # of payloads: of more, telling each would take long

PathOrFile = str | os.PathLike[str] | BinaryIO


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamInfo:
    """The facts of a stream.

    `samples` is the exact length at the original rate. `packets` are the whole ones,
    `range_packets` those of them that are range-coded; `holes` is what could not be read.
    `frames_of_depth[d]` is how many frames of the whole packets have d stages, over all channels.
    `framing_bytes` is all but the header and the payloads: heads and checksums of packets, what
    tells the stages of frames, the end marker, and bytes that could not be read.
    """

    header: StreamHeader
    samples: int
    frames: int
    packets: int
    range_packets: int
    total_bytes: int
    header_bytes: int
    payload_bytes: int
    frames_of_depth: tuple[int, ...]
    holes: tuple[Loss, ...]

    @property
    def framing_bytes(self) -> int:
        return self.total_bytes - self.header_bytes - self.payload_bytes

    @property
    def fixed_packets(self) -> int:
        return self.packets - self.range_packets

    @property
    def seconds(self) -> float:
        return self.samples / self.header.original_rate_hz

    @property
    def mean_stages(self) -> float:
        """Stages of a frame, on average; those of the header where no packet could be read."""
        frames = sum(self.frames_of_depth)
        stages = sum(depth * count for depth, count in enumerate(self.frames_of_depth))
        return stages / frames if frames else float(len(self.header.stages))

    def channel_bitrate(self, stages: int | None = None) -> float:
        """Bits per second that the indices of a channel take on average at fixed width, cut to so
        many stages.

        Framing, and what tells how many stages each frame has, are not counted.
        """
        header = self.header
        bits = [0, *itertools.accumulate(stage.index_bits for stage in header.stages[:stages])]
        counts = (
            self.frames_of_depth if any(self.frames_of_depth) else (*(0,) * len(header.stages), 1)
        )
        total = sum(count * bits[min(depth, len(bits) - 1)] for depth, count in enumerate(counts))
        return float(Fraction(total, sum(counts)) * header.frame_rate_hz)

    @property
    def bitrate(self) -> float:
        """Bits per second that the whole stream really uses; 0 where it holds no samples."""
        return 8 * self.total_bytes / self.seconds if self.samples else 0.0


def read_info(stream: PathOrFile) -> StreamInfo:
    """Describe a stream, damaged or not; only a header that cannot be read is a
    `BitstreamError`.
    """
    with _opened(stream) as file:
        reader = StreamReader(file)
        header_bytes = reader.offset
        packets = range_packets = payload_bytes = 0
        frames_of_depth = np.zeros(len(reader.header.stages) + 1, np.int64)
        for run in reader.runs(recover=True):
            if isinstance(run, PacketRun):
                packets += len(run)
                range_packets += run.range_packets
                payload_bytes += run.payload_bytes
                frames_of_depth += run.frames_of_depth
        return StreamInfo(
            header=reader.header,
            samples=reader.samples,
            frames=reader.frames,
            packets=packets,
            range_packets=range_packets,
            total_bytes=reader.offset,
            header_bytes=header_bytes,
            payload_bytes=payload_bytes,
            frames_of_depth=tuple(frames_of_depth.tolist()),
            holes=tuple(reader.losses),
        )


def verify(stream: PathOrFile, tables: EntropyTables | None = None) -> tuple[Loss, ...]:
    """List all faults of a stream, none where it is whole; a header that cannot be read is a
    `BitstreamError`.

    Checks the framing and every checksum, and the payloads up to a thousand that are at fault; of
    range-coded ones only the ends of the stages unless `tables` are given.
    """
    with _opened(stream) as file:
        reader = StreamReader(file)
        if tables is not None:
            tables.check_fits(reader.header.stages)
        faults: list[Loss] = []
        for run in reader.runs(recover=True):
            if isinstance(run, PacketRun) and len(faults) < _MOST_FAULTS:
                faults += _payload_faults(reader, run, tables)
        if len(faults) >= _MOST_FAULTS:
            reason = f"{_MOST_FAULTS} payloads are at fault: the rest was not decoded"
            faults[_MOST_FAULTS:] = [Loss(faults[_MOST_FAULTS - 1].first_frame, 0, reason)]
        return tuple(sorted([*faults, *reader.losses]))


def cut(source: PathOrFile, target: PathOrFile, *, stages: int, overwrite: bool = False) -> None:
    """Write a stream of only the first `stages` stages; what they decode to stays the same.

    Neither model nor tables are needed. A fault in `source` is a `BitstreamError`, and a path
    `target` then stays as it was. An existing one is replaced only with `overwrite`.
    """
    if stages < 1:
        raise ValueError(f"at least one stage is kept, not {stages}")
    with _opened(source) as file:
        reader = StreamReader(file)
        if stages > len(reader.header.stages):
            raise BitstreamError(
                f"the stream has {len(reader.header.stages)} stages; it cannot be cut to {stages}"
            )
        with _target(target, overwrite) as out:
            _write_cut(reader, out, stages)


def _write_cut(reader: StreamReader, out: BinaryIO, stages: int) -> None:
    header = dataclasses.replace(reader.header, stages=reader.header.stages[:stages])
    writer = PacketWriter(out, header)
    for packet in reader.raw_packets():
        assert packet.payload is not None
        assert packet.coding is not None
        depths = limited(packet.depths, stages)
        if packet.coding == "range":
            deepest = extremes(packet.depths)[1]
            payload = cut_range(packet.payload, deepest, min(deepest, stages))
        else:
            payload = cut_fixed(packet.payload, header.stages, depths)
        writer.write(depths, packet.coding, payload)
    writer.end(reader.samples)


def _payload_faults(
    reader: StreamReader, run: PacketRun, tables: EntropyTables | None
) -> Iterator[Loss]:
    for number, fault in run.payload_faults(with_range=tables is None).items():
        yield Loss(run.first_frame + number * run.frames, run.frames, fault)
    for packet in run.packets() if tables is not None else ():
        if packet.coding == "range":
            try:
                reader.decode(packet, tables)
            except BitstreamError as error:
                yield Loss(packet.first_frame, packet.frames, str(error))


@contextlib.contextmanager
def _opened(stream: PathOrFile) -> Iterator[BinaryIO]:
    """Give the file itself, or open the file of that path and close it afterwards."""
    if not isinstance(stream, (str, os.PathLike)):
        yield stream
        return
    try:
        file = Path(stream).open("rb")  # noqa: SIM115 (closed below; only opening is to be reported so)
    except OSError as error:
        raise BitstreamError(
            f"cannot read {os.fspath(stream)}: {error.strerror or error}"
        ) from error
    with file:
        yield file


def _target(target: PathOrFile, overwrite: bool) -> contextlib.AbstractContextManager[BinaryIO]:
    if isinstance(target, (str, os.PathLike)):
        return atomic_output(target, overwrite=overwrite)
    return contextlib.nullcontext(target)
