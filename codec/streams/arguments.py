"""Checks and normalises the arguments of the public verbs."""

from __future__ import annotations

import operator
from contextlib import ExitStack
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..bitstream import StreamHeader, StreamReader
from ..errors import AudioError, BitstreamError, ConfigError
from ..files.output import atomic_output
from ..layouts.config import MAX_RATE_HZ, MIN_RATE_HZ

__all__ = [
    "OutputRate",
    "open_output",
    "open_stream",
    "optional_number",
    "output_rate",
    "whole_number",
]

OutputRate = int | Literal["original", "model"]


def open_stream(stack: ExitStack, source: Any) -> StreamReader:
    """Open a `.dvq` stream from bytes, a path (until `stack` closes), a file object, or a reader as
    it is.
    """
    if isinstance(source, StreamReader):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return StreamReader(BytesIO(source))
    if isinstance(source, str | PathLike):
        try:
            return StreamReader(stack.enter_context(Path(source).open("rb")))
        except OSError as error:
            raise BitstreamError(f"cannot read {source}: {error.strerror or error}") from error
    return StreamReader(source)


def open_output(stack: ExitStack, target: Any, overwrite: bool) -> BinaryIO:
    """Open a target: a file object, or the file of a path, which appears when `stack` ends without
    an error.
    """
    if isinstance(target, str | PathLike):
        return stack.enter_context(atomic_output(target, overwrite=overwrite))
    return target


def output_rate(header: StreamHeader, sample_rate_hz: OutputRate) -> int:
    """Return the rate in Hz to decode a stream at."""
    named = {"original": header.original_rate_hz, "model": header.model_rate_hz}
    if isinstance(sample_rate_hz, str) and sample_rate_hz not in named:
        raise AudioError(
            f"sample_rate_hz is 'original', 'model' or a number of Hz, not {sample_rate_hz!r}"
        )
    rate = (
        named[sample_rate_hz]
        if isinstance(sample_rate_hz, str)
        else whole_number("sample_rate_hz", sample_rate_hz)
    )
    if (
        not MIN_RATE_HZ <= rate <= MAX_RATE_HZ
    ):  # a few bytes of a stream could otherwise ask for gigabytes of audio
        known = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise AudioError(
            f"audio has a sample rate of {known}, not {rate}; choose another output rate"
        )
    return rate


def optional_number(name: str, value: object) -> float | None:
    """Check an argument that is a number or None."""
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConfigError(f"{name} is a number, not {value!r}") from None


def whole_number(name: str, value: object) -> int:
    """Check an argument that is a count."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"{name} is a whole number, not {value!r}") from None
