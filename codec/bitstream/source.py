"""Reads and writes files and pipes with short reads and writes; requests no bytes that the stream
has not promised.
"""

from __future__ import annotations

from io import BytesIO, RawIOBase
from typing import BinaryIO

from ..errors import BitstreamError

LARGEST_READ = 1 << 16


class ByteSource:
    """A look-ahead buffer over a binary file that is only ever read forward.

    `fill` asks for no more bytes than it is told to, so a live pipe is never waited on without
    need, and in pieces of at most 64 KiB, so a false length costs no more memory than the bytes
    that are really there. With `reads_ahead` it takes up to 64 KiB of what is there already: of a
    file that has `read1`, which waits for the first byte alone, or that waits for nobody.
    """

    def __init__(self, file: BinaryIO, *, reads_ahead: bool = False) -> None:
        self._read = getattr(file, "read1", file.read) if reads_ahead else file.read
        self._least_read = LARGEST_READ if reads_ahead else 1
        self._at_end = False
        self.buffer = bytearray()
        self.offset = 0  # of buffer[0], from the first byte read

    def fill(self, count: int) -> int:
        """Buffer `count` bytes, fewer only where the file ends; returns how many of them are
        there.
        """
        if len(self.buffer) >= count:
            return count
        while len(self.buffer) < count and not self._at_end:
            missing = max(count - len(self.buffer), self._least_read)
            piece = self._read(min(missing, LARGEST_READ))
            if piece is None:
                raise ValueError("a .dvq stream is read from a blocking file")
            if isinstance(piece, str):
                raise ValueError("a .dvq stream is read from a file opened in binary mode")
            self._at_end = not piece
            self.buffer += piece
        return min(len(self.buffer), count)

    def skip(self, count: int) -> None:
        """Forget the first `count` bytes, which `fill` has buffered."""
        assert count <= len(self.buffer)
        del self.buffer[:count]
        self.offset += count

    def skip_all(self, count: int) -> None:
        """Forget the next `count` bytes, buffered or not."""
        while count and (available := self.fill(min(count, LARGEST_READ))):
            self.skip(available)
            count -= available

    def at_end(self, position: int = 0) -> bool:
        """Whether the file ends `position` bytes ahead, or before."""
        return self.fill(position + 1) <= position


class Cursor:
    """Reads fields of a `ByteSource` from `position` on, without consuming them."""

    def __init__(self, source: ByteSource, position: int = 0) -> None:
        self._source = source
        self._start = position
        self._position = position

    @classmethod
    def over(cls, data: bytes) -> Cursor:
        """A cursor over bytes in memory."""
        return cls(ByteSource(BytesIO(data)))

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._position - self._start

    @property
    def taken(self) -> bytes:
        return bytes(self._source.buffer[self._start : self._position])

    def take(self, count: int, what: str) -> bytes:
        """Read the next `count` bytes; raise a `BitstreamError` that names `what` where the file
        ends before.
        """
        end = self._position + count
        available = self._source.fill(end) - self._position
        if available < count:
            raise BitstreamError(
                f"the stream is cut off in {what}: {available} of {count} bytes are there"
            )
        taken = bytes(self._source.buffer[self._position : end])
        self._position = end
        return taken

    def byte(self, what: str) -> int:
        return self.take(1, what)[0]

    def integer(self, size: int, what: str) -> int:
        """A little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size, what), "little")

    def varint(self, what: str, max_bytes: int) -> int:
        """A varint of at most `max_bytes` bytes, in its shortest form."""
        value = 0
        for place in range(max_bytes):
            byte = self.byte(what)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place > 0:
                    raise BitstreamError(f"{what} is not in its shortest form")
                return value
        raise BitstreamError(f"{what} is absurd: longer than {max_bytes} bytes")


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of `data`: an unbuffered pipe may take less at a time."""
    left = memoryview(data)
    while left:
        written = file.write(left)
        if not isinstance(file, RawIOBase):
            return
        if written is None:
            raise ValueError("a .dvq stream is written to a blocking file")
        left = left[written:]
