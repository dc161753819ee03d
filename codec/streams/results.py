"""Results of the public verbs."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from typing import BinaryIO

import numpy as np

from ..bitstream import EntropyTables, StreamHeader, StreamWriter, find_bad_index
from ..errors import BitstreamError
from ..files.output import atomic_output


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """Coded audio.

    Attributes:
        codes: int32 (channels, stages, frames); stage s has the values that `header.stages[s]`
            allows, and -1 stands where a frame has no more stages.
        samples: length of the audio that was coded, in samples at `header.original_rate_hz`.
        header: rates, layout and the model's fingerprint, as a file would start.
    """

    codes: np.ndarray
    samples: int
    header: StreamHeader
    tables: EntropyTables | None = None

    def __post_init__(self) -> None:
        if fault := find_bad_index(self.codes, self.header.stages):
            raise BitstreamError(f"these are no codes: {fault}")

    @property
    def frames(self) -> int:
        return self.codes.shape[2]

    def to_bytes(self) -> bytes:
        """Return the `.dvq` stream."""
        file = BytesIO()
        self._write(file)
        return file.getvalue()

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a `.dvq` file, whole or not at all; an existing one only with `overwrite`."""
        with atomic_output(path, overwrite=overwrite) as file:
            self._write(file)

    def _write(self, file: BinaryIO) -> None:
        writer = StreamWriter(file, self.header, self.tables)
        writer.write(self.codes)
        writer.close(samples=self.samples)


@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Decoded audio: `wave` float32 (channels, samples), nominally in [-1, 1], and its rate."""

    wave: np.ndarray
    sample_rate_hz: int


@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """The result of `Codec.encode_file`: samples at the original rate, and the bytes of the
    stream.
    """

    header: StreamHeader
    samples: int
    size_bytes: int

    @property
    def seconds(self) -> float:
        return self.samples / self.header.original_rate_hz


@dataclass(frozen=True, kw_only=True)
class DecodedFile:
    """The result of `Codec.decode_file`.

    `lost` lists (start in seconds, seconds, reason) of each stretch that `recover` replaced by
    silence; `clipped` counts samples that the file's format could not hold.
    """

    sample_rate_hz: int
    samples: int
    clipped: int
    lost: list[tuple[float, float, str]]
