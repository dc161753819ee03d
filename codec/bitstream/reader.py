"""Reading a `.dvq` stream from a file or a pipe, strictly or around its damage."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..errors import BitstreamError
from .entropy import EntropyTables
from .framing import End, Framing, Unit, sum_of
from .header import read_header
from .packet_run import Coding, PacketRun, RawPacket
from .packing import unpack_fixed
from .range_coding import decode_range, decode_ranges
from .recovery import FARTHEST, Loss, Recovery
from .source import ByteSource
from .stage_counts import equal_depths

_FRAMES_AT_ONCE = 2000  # over all channels and packets that are decoded side by side


@dataclass(frozen=True, slots=True)
class Packet:
    """Decoded codes (channels, stages, frames), int32, of the frames from `first_frame` on.

    `codes` and `coding` are None where the packet is lost. Codes are NONE (-1) where a frame has no
    more stages.
    """

    index: int
    first_frame: int
    frames: int
    coding: Coding | None
    codes: np.ndarray | None
    offset: int
    size_bytes: int


class StreamReader:
    """Reads the header at once, and packets as they are asked for, in constant memory.

    The stream is read once, with one of `packets`, `raw_packets` and `runs`. At its end `samples`
    is the exact length at the original rate, and, with `recover=True`, `losses` lists what could
    not be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell() if _can_seek(file) else None
        can_read_ahead = self._start is not None or hasattr(file, "read1")
        self._source = ByteSource(file, reads_ahead=can_read_ahead)
        self.header, identity = read_header(self._source)
        self.losses: list[Loss] = []
        self._framing = Framing(self.header, identity)
        self._recovery = Recovery(self._source, self._framing)
        self._samples: int | None = None
        self._is_started = False
        self._next_index = 0
        self._sum = 0  # of the CRCs of the packets so far
        self._frames = 0  # read or given up so far
        self._resume_frame = 0  # frames before it are lost, unless read

    @property
    def samples(self) -> int:
        """Samples at the original rate, known after the last packet; without an end marker those of
        all frames.
        """
        if self._samples is None:
            raise ValueError("the number of samples is known after the last packet")
        return self._samples

    @property
    def offset(self) -> int:
        """Bytes of the stream read so far."""
        return self._source.offset

    @property
    def frames(self) -> int:
        """Frames read or given up so far."""
        return self._frames

    def measure(self, *, recover: bool = False) -> tuple[int, int] | None:
        """Frames and bytes of the whole stream, found without decoding; None where the file cannot
        go back.

        What was to be read next is still to be read. A fault is a `BitstreamError`, unless with
        `recover`.
        """
        if self._start is None:
            return None
        here = self._file.tell()
        try:
            self._file.seek(self._start)
            reader = StreamReader(self._file)
            for _ in reader.runs(recover=recover):
                pass
        finally:
            self._file.seek(here)
        self._recovery.known = reader._recovery.known
        return reader.frames, reader.offset

    def packets(
        self, tables: EntropyTables | None = None, *, recover: bool = False
    ) -> Iterator[Packet]:
        """Decode packet by packet.

        `tables` are the model's, needed where packets are range-coded. Any fault is a
        `BitstreamError`; with `recover`, a lost packet is yielded in its place with `codes=None`
        instead.
        """
        if tables is not None:
            tables.check_fits(self.header.stages)
        for raw, codes in self._decoded(tables, recover):
            if raw.payload is not None and codes is None:
                try:
                    codes = self.decode(raw, tables)
                except BitstreamError as error:
                    if not recover or (tables is None and raw.coding == "range"):
                        raise
                    self.losses.append(Loss(raw.first_frame, raw.frames, str(error)))
            yield Packet(
                raw.index,
                raw.first_frame,
                raw.frames,
                raw.coding,
                codes,
                raw.offset,
                raw.size_bytes,
            )

    def _decoded(
        self, tables: EntropyTables | None, recover: bool
    ) -> Iterator[tuple[RawPacket, np.ndarray | None]]:
        """The packets, and the codes of those that are decoded side by side."""
        header = self.header
        count = max(_FRAMES_AT_ONCE // (header.channels * header.packet_frames), 1)
        for run in self.runs(recover=recover):
            packets = run.packets() if isinstance(run, PacketRun) else self._lost_packets(run)
            while some := list(itertools.islice(packets, count)):
                yield from zip(some, self._side_by_side(some, tables), strict=True)

    def _side_by_side(
        self, packets: Sequence[RawPacket], tables: EntropyTables | None
    ) -> list[np.ndarray | None]:
        """The codes of packets where it is worth while to decode several at once, and none of them
        is at fault.
        """
        if tables is None or not tables.has_networks:
            return [None] * len(packets)
        payloads = {p.index: p.payload for p in packets if p.payload and p.coding == "range"}
        if len(payloads) < 2:
            return [None] * len(packets)
        depths = [packet.depths for packet in packets if packet.index in payloads]
        try:
            decoded = decode_ranges([*payloads.values()], self.header.stages, tables, depths)
        except BitstreamError:
            return [None] * len(packets)
        codes = dict(zip(payloads, decoded, strict=True))
        return [codes.get(packet.index) for packet in packets]

    def decode(self, raw: RawPacket, tables: EntropyTables | None = None) -> np.ndarray:
        """Decode a packet that is not lost to codes (channels, stages, frames), int32."""
        if raw.payload is None:
            raise ValueError(f"packet {raw.index} is lost")
        header = self.header
        if raw.coding == "range" and tables is None:
            reason = (
                "it is range-coded: decoding needs the entropy tables of the model that wrote it"
            )
            raise self._located(reason, raw.index, raw.offset)
        try:
            if tables is None or raw.coding == "fixed":
                return unpack_fixed(raw.payload, header.stages, raw.depths)
            return decode_range(raw.payload, header.stages, tables, raw.depths)
        except BitstreamError as error:
            raise self._located(str(error), raw.index, raw.offset) from error

    def raw_packets(self, *, recover: bool = False) -> Iterator[RawPacket]:
        """Yield packets as `packets` does, checked but not decoded; no tables are needed."""
        for run in self.runs(recover=recover):
            if isinstance(run, PacketRun):
                yield from run.packets()
            else:
                yield from self._lost_packets(run)

    def runs(self, *, recover: bool = False) -> Iterator[PacketRun | Loss]:
        """Yield packets as `raw_packets` does, many at once, and what is lost between them."""
        if self._is_started:
            raise ValueError("this stream has been read already")
        self._is_started = True
        while True:
            while (run := self._run_at_hand()) is not None:
                yield self._take(run)
            try:
                unit, run = self._due_unit()
            except BitstreamError as error:
                located = self._located(str(error), self._next_index, self.offset)
                if not recover:
                    raise located from error
                unit, run = self._search(str(located))
            if self._frames < self._resume_frame:
                lost = self._resume_frame - self._frames
                self._frames = self._resume_frame
                yield Loss(self._resume_frame - lost, lost, self.losses[-1].reason)
            if run is None:
                break
            yield self._take(run)
        self._finish(unit, recover)

    def _run_at_hand(self) -> PacketRun | None:
        """The packets that come next and are at hand, unless there is anything to find fault
        with.
        """
        source, index = self._source, self._next_index
        is_in_order = self._frames == index * self.header.packet_frames >= self._resume_frame
        if not index or not is_in_order:
            return None
        return self._framing.read_run(source.buffer, index, source.offset)

    def _take(self, run: PacketRun) -> PacketRun:
        """Consume packets."""
        self._source.skip(run.size_bytes)
        self._sum = sum_of(run.checks, self._sum)
        self._next_index = run.index + len(run)
        self._frames = run.first_frame + len(run) * run.frames
        return run

    def _due_unit(self) -> tuple[Unit, PacketRun | None]:
        """The next unit, not consumed, and the packet where it is one."""
        source = self._source
        if not source.buffer and source.at_end():
            raise BitstreamError(
                "the end marker is missing: the stream is cut off, or was never finished"
            )
        unit = self._framing.read(source, expected=self._next_index)
        if unit.index != self._next_index:
            raise self._misplaced(unit)
        if unit.head == 0:
            self._check_end(self._framing.open_end(unit))
            return unit, None
        if self._frames < self._next_index * self.header.packet_frames:
            raise BitstreamError("the packet before it is short, but only the last one may be")
        if self._next_index == 0 and zlib.crc32(unit.content) != self._framing.identity:
            raise BitstreamError(
                "it is not the packet that the header names: it is of another stream"
            )
        return unit, self._framing.open_packet(unit, source.offset)

    def _check_end(self, end: End) -> None:
        frames = self.header.frames_for(end.samples)
        if frames != self._frames:
            raise BitstreamError(
                f"the end marker is for {frames} frames, but the packets hold {self._frames}"
            )
        if self._frames == 0 and self._framing.identity:
            raise BitstreamError("the header names a packet, but the stream has none")
        if end.sum != self._sum and not self.losses:
            raise BitstreamError("the end marker is for other packets: some are of another stream")

    def _misplaced(self, unit: Unit) -> BitstreamError:
        what = "the end marker" if unit.is_end else "the packet"
        if abs(unit.index - self._next_index) > FARTHEST:
            return BitstreamError(f"the checksum does not fit: {what} is damaged")
        found = (
            f"the end marker after {unit.index} packets" if unit.is_end else f"packet {unit.index}"
        )
        return BitstreamError(f"{found} stands here: packets are missing or out of order")

    def _search(self, reason: str) -> tuple[Unit | None, PacketRun | None]:
        """As `_due_unit`, after what is lost, which it records; None where nothing is left to
        recover.
        """
        search = self._recovery.find(self._next_index)
        if search.unit is None:
            self._resume_frame = self._frames  # nothing tells how many packets there were
        elif search.unit.is_end:
            self._resume_frame = self.header.frames_for(self._framing.open_end(search.unit).samples)
        else:
            self._resume_frame = search.unit.index * self.header.packet_frames
        if search.skipped or search.gave_up:
            reason += (
                f" ({search.skipped} bytes skipped{', then gave up' if search.gave_up else ''})"
            )
        self.losses.append(Loss(self._frames, max(self._resume_frame - self._frames, 0), reason))
        return search.unit, search.packet

    def _lost_packets(self, loss: Loss) -> Iterator[RawPacket]:
        """The packets in a stretch that is lost."""
        header, first, stop = self.header, loss.first_frame, loss.first_frame + loss.frames
        while first < stop:
            index = first // header.packet_frames
            frames = min((index + 1) * header.packet_frames, stop) - first
            depths = equal_depths(len(header.stages), header.channels, frames)
            yield RawPacket(index, first, frames, depths, None, None, self.offset, 0)
            first += frames

    def _finish(self, end: Unit | None, recover: bool) -> None:
        self._samples = self.header.samples_in(self._frames)
        if end is None:
            return
        samples = self._framing.open_end(end).samples
        if self.header.frames_for(samples) == self._frames:
            self._samples = samples
        self._source.skip(end.size)
        if self._source.at_end():
            return
        error = BitstreamError(f"byte {self.offset}: there are bytes after the end marker")
        if not recover:
            raise error
        self.losses.append(Loss(self._frames, 0, str(error)))

    def _located(self, reason: str, index: int, offset: int) -> BitstreamError:
        seconds = self.header.seconds(index * self.header.packet_frames)
        return BitstreamError(f"packet {index} at {seconds:.2f} s, byte {offset}: {reason}")


def _can_seek(file: BinaryIO) -> bool:
    """Return whether a file can seek; one without `seekable` cannot."""
    seekable = getattr(file, "seekable", None)
    return seekable is not None and seekable()
