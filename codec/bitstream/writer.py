"""Writes a `.dvq` stream, to a file or a pipe, without knowing its length."""

from __future__ import annotations

import operator
import zlib
from typing import BinaryIO

import numpy as np

from .checksum import CHECK_BYTES
from .entropy import EntropyTables
from .framing import MAX_PACKETS, Framing, packet_content, sum_of
from .header import StreamHeader
from .layout import find_bad_index
from .packet_run import Coding
from .packing import fixed_size, pack_fixed
from .range_coding import encode_range
from .source import write_all
from .stage_counts import GROUP_FRAMES, depths_of


class PacketWriter:
    """Writes packets that are coded already: the header with the first of them, which it names.

    Attributes:
        packets: How many were written so far.
        size_bytes: What was written so far.
    """

    def __init__(self, file: BinaryIO, header: StreamHeader) -> None:
        self.header = header
        self.packets = 0
        self.size_bytes = 0
        self._file = file
        self._framing: Framing | None = None
        self._sum = 0

    def write(self, depths: np.ndarray, coding: Coding, payload: bytes) -> None:
        """Append a packet; `depths` (channels, frames) are the stages of its frames."""
        if self.packets == MAX_PACKETS:
            raise ValueError(f"a stream has at most {MAX_PACKETS} packets")
        content = packet_content(self.header, depths, coding, payload)
        sealed = self._started(zlib.crc32(content)).sealed(content, self.packets)
        self._sum = sum_of(sealed[-CHECK_BYTES:], self._sum)
        self._put(sealed)
        self.packets += 1

    def end(self, samples: int) -> None:
        """Write the end marker. `samples` is the exact length at the original rate."""
        self._put(self._started(0).end(self.packets, samples, self._sum))

    def _started(self, identity: int) -> Framing:
        """The framing of the stream, whose header is written if it is not yet."""
        if self._framing is None:
            self._framing = Framing(self.header, identity)
            self._put(self.header.to_bytes(identity))
        return self._framing

    def _put(self, data: bytes) -> None:
        write_all(self._file, data)
        self.size_bytes += len(data)


class StreamWriter:
    """Writes packets as they fill, the header with the first, and at `close` the rest and the end
    marker.

    With `tables` each packet is range-coded where that is smaller. The file is never sought in, nor
    closed. A stream that was not closed is one that readers report as cut off. Bad arguments raise
    `ValueError`.

    >>> import io
    >>> import numpy as np
    >>> from codec.bitstream import StageLayout, StreamHeader, StreamReader, StreamWriter
    >>> header = StreamHeader(fingerprint=bytes(6), model_rate_hz=16_000, original_rate_hz=48_000,
    ...                       hop=320, channels=1, packet_frames=50, stages=(StageLayout(10),) * 4)
    >>> file = io.BytesIO()
    >>> writer = StreamWriter(file, header)
    >>> writer.write(np.zeros((1, 4, 75), np.int32))
    >>> writer.close(samples=71_500)
    >>> reader = StreamReader(io.BytesIO(file.getvalue()))
    >>> [packet.codes.shape for packet in reader.packets()], reader.samples
    ([(1, 4, 50), (1, 4, 25)], 71500)
    """

    def __init__(
        self, file: BinaryIO, header: StreamHeader, tables: EntropyTables | None = None
    ) -> None:
        if tables is not None:
            tables.check_fits(header.stages)
        self.header = header
        self._tables = tables
        self._packets = PacketWriter(file, header)
        shape = (header.channels, len(header.stages), header.packet_frames)
        self._pending = np.empty(shape, np.int32)
        self._pending_frames = 0
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        """What was written so far."""
        return self._packets.size_bytes

    @property
    def frames(self) -> int:
        """Frames given to `write` so far."""
        return self._packets.packets * self.header.packet_frames + self._pending_frames

    def write(self, codes: np.ndarray) -> None:
        """Append integer `codes` (channels, stages, frames), any number of frames, in each stage's
        range.

        Where a frame has no more stages, NONE (-1) stands; the three frames of a group, counted
        from the start of each packet, have equally many.
        """
        if self._is_closed:
            raise ValueError("this stream is closed")
        codes = np.asarray(codes)
        expected = self._pending.shape[:2]
        if codes.dtype.kind not in "iu" or codes.ndim != 3 or codes.shape[:2] != expected:
            raise ValueError(
                f"codes are integers (channels, stages, frames) = (*{expected}, any), not "
                f"{codes.dtype} {codes.shape}"
            )
        if fault := find_bad_index(codes, self.header.stages):
            raise ValueError(fault)
        self._check_groups(depths_of(codes))
        start = 0
        while start < codes.shape[2]:
            start += self._buffer(codes[:, :, start:])
            if self._pending_frames == self.header.packet_frames:
                self._write_packet()

    def close(self, *, samples: int) -> None:
        """Write the rest and the end marker. `samples` is the exact length at the original rate."""
        if self._is_closed:
            raise ValueError("this stream is closed")
        samples = operator.index(samples)
        if samples < 0 or self.header.frames_for(samples) != self.frames:
            raise ValueError(
                f"{samples} samples at {self.header.original_rate_hz} Hz are"
                f" {self.header.frames_for(samples)} frames, but {self.frames} were written"
            )
        if self._pending_frames:
            self._write_packet()
        self._packets.end(samples)
        self._is_closed = True

    def _check_groups(self, depths: np.ndarray) -> None:
        """Whether frames that come next, of `depths` (channels, frames), fit the groups that they
        fall in.
        """
        place = (self._pending_frames + np.arange(depths.shape[1])) % self.header.packet_frames
        last = self._pending[:, :, self._pending_frames - 1 :][..., :1]
        before = np.concatenate([depths_of(last), depths], axis=1)
        uneven = (depths != before[:, :-1]).any(axis=0) & (place % GROUP_FRAMES > 0)
        if uneven.any():
            frame = self.frames + int(uneven.argmax())
            raise ValueError(
                f"frame {frame} has other stages than its group of {GROUP_FRAMES} frames"
            )

    def _buffer(self, codes: np.ndarray) -> int:
        """Copy as many frames of `codes` as the packet has room for; return how many."""
        taken = min(codes.shape[2], self.header.packet_frames - self._pending_frames)
        stop = self._pending_frames + taken
        self._pending[:, :, self._pending_frames : stop] = codes[:, :, :taken]
        self._pending_frames = stop
        return taken

    def _write_packet(self) -> None:
        codes = self._pending[:, :, : self._pending_frames]
        depths = depths_of(codes)
        self._packets.write(depths, *self._coded(codes, depths))
        self._pending_frames = 0

    def _coded(self, codes: np.ndarray, depths: np.ndarray) -> tuple[Coding, bytes]:
        """Code `codes`, by range coding where that is smaller."""
        stages = self.header.stages
        size = fixed_size(stages, depths)
        if self._tables is not None and size:
            ranged = encode_range(codes, stages, self._tables)
            if len(ranged) < size:
                return "range", ranged
        return "fixed", pack_fixed(codes, stages)
