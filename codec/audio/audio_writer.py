"""Audio files and pipes, written a block at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import soundfile

from ..errors import AudioError
from ..files.output import atomic_path, is_special_file, scratch_path

__all__ = ["AUDIO_FORMATS", "AudioWriter"]

# File suffix to libsndfile's name of the format.
AUDIO_FORMATS = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".flac": "FLAC",
    ".mp3": "MP3",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".au": "AU",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
    ".sph": "NIST",
}
_PCM_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_FLOAT_BYTES = {"FLOAT": 4, "DOUBLE": 8}
# What a codec takes: rates in Hz, and the most channels. libsndfile names no remedy, and crashes on
# fast Vorbis.
_LIMITS = {
    "FLAC": (range(1, 655_351), 8),
    "VORBIS": (range(1, 200_001), 255),
    "OPUS": ((8_000, 12_000, 16_000, 24_000, 48_000), 255),
    "MPEG_LAYER_III": ((8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000), 2),
}
# Headers whose lengths have 32 bits; libsndfile writes wrong ones, without a word, where more is
# needed.
_SHORT_HEADERS = ("WAV", "AIFF", "AU")
_SHORT_HEADER_BYTES = 0xFFFFFFFF - 4096
# libsndfile's Vorbis encoder keeps each write on the stack, and crashes on long ones.
_WRITE_SAMPLES = 16_384
_SYSTEM_ERROR = 2  # of libsndfile, which keeps to itself what the system said

Target = str | os.PathLike[str] | BinaryIO


class AudioWriter:
    """Write audio block by block, to a path that appears whole or not at all, or to a binary file
    object.

    Attributes:
        clipped: Samples (of all channels) so far that lay outside of [-1, 1] and were clipped.
            Float formats keep such samples, and count none.

    Example:
        >>> import io
        >>> pipe = io.BytesIO()
        >>> with AudioWriter(pipe, sample_rate_hz=8000, channels=1) as writer:
        ...     writer.write(np.array([[0.5, -2.0]], dtype=np.float32))
        >>> writer.clipped, soundfile.read(io.BytesIO(pipe.getvalue()), dtype="int16")[0].tolist()
        (1, [16384, -32768])
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        sample_rate_hz: int,
        channels: int,
        subtype: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Check what can be checked; the file is made when the `with` block is entered.

        Args:
            target: A path, whose suffix names the format; or a binary file object, for WAV. A file
                object or a pipe gets its bytes at the end, through a temporary file: a header needs
                the length, and a reader of the pipe sees a whole file or nothing.
            sample_rate_hz: Rate of the samples, in Hz.
            channels: 1 to 255.
            subtype: libsndfile's name of the sample format ("PCM_16", "PCM_24", "FLOAT", …); by
                default 16 bits where the format has them.
            overwrite: Replace an existing file.

        Raises:
            AudioError: The suffix is unknown, or the format cannot hold this rate, channels or
                subtype; or when the `with` block ends, it cannot hold audio without samples.
        """
        self._target = target
        self._sample_rate_hz = sample_rate_hz
        self._channels = channels
        self._overwrite = overwrite
        self._format, self._subtype = _format_for(target, subtype)
        self._check_limits()
        self._frames = 0
        self.clipped = 0

    def __enter__(self) -> AudioWriter:
        with contextlib.ExitStack() as stack:
            path = stack.enter_context(_writable_path(self._target, overwrite=self._overwrite))
            stack.enter_context(self._refusing_emptiness(path))
            self._sound = stack.enter_context(self._open_sound(path))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._libsndfile_errors():
            self._stack.__exit__(kind, error, traceback)

    def write(self, block: np.ndarray) -> None:
        """Append a block: float (channels, samples). Samples outside of [-1, 1] are clipped in
        integer formats.

        Raises:
            AudioError: A sample is NaN or infinite, the disk is full, or the format can hold no
                more.
        """
        if not np.isfinite(block).all():
            raise AudioError(
                f"cannot write {self._name}: samples to write are NaN or infinite; is the model "
                f"damaged?"
            )
        self._frames += block.shape[1]
        self._check_size()
        for start in range(0, block.shape[1], _WRITE_SAMPLES):
            samples = self._quantized(block[:, start : start + _WRITE_SAMPLES].T)
            with self._libsndfile_errors():
                self._sound.write(samples)

    def _quantized(self, samples: np.ndarray) -> np.ndarray:
        """Integers rounded here, in the high bits of an int32: libsndfile would cut the low bits
        off, a bias.
        """
        if self._subtype in _FLOAT_BYTES:
            return samples
        self.clipped += int(np.count_nonzero(np.abs(samples) > 1))
        if self._subtype not in _PCM_BITS:
            return np.clip(samples, -1, 1)
        bits = _PCM_BITS[self._subtype]
        scale = 2.0 ** (bits - 1)
        integers = np.clip(np.rint(samples.astype(np.float64) * scale), -scale, scale - 1)
        return integers.astype(np.int32) << (32 - bits)

    def _check_size(self) -> None:
        sample_bytes = _FLOAT_BYTES.get(self._subtype, _PCM_BITS.get(self._subtype, 8) // 8)
        if (
            self._format in _SHORT_HEADERS
            and self._frames * self._channels * sample_bytes > _SHORT_HEADER_BYTES
        ):
            raise AudioError(
                f"cannot write {self._name}: {self._format} ends at 4 GiB; write .flac, .w64 or "
                f".rf64 instead"
            )

    def _check_limits(self) -> None:
        codec = self._format if self._format in _LIMITS else self._subtype
        if codec not in _LIMITS:
            return
        rates, most_channels = _LIMITS[codec]
        if self._channels > most_channels:
            raise AudioError(
                f"cannot write {self._name}: {codec} holds up to {most_channels} channels, not "
                f"{self._channels}; "
                "write another format, such as .wav"
            )
        if self._sample_rate_hz not in rates:
            known = f"1 to {rates[-1]}" if isinstance(rates, range) else ", ".join(map(str, rates))
            raise AudioError(
                f"cannot write {self._name}: {codec} holds rates of {known} Hz, not "
                f"{self._sample_rate_hz}; "
                "choose such a rate, or write another format, such as .wav"
            )

    @contextlib.contextmanager
    def _refusing_emptiness(self, path: Path) -> Iterator[None]:
        """Some encoders write nothing, or no whole header, where there are no samples; no reader
        takes such a file.
        """
        yield
        if self._frames:
            return
        try:
            soundfile.info(_system_name(path))
        except soundfile.LibsndfileError as error:
            kind = f"{self._format} {self._subtype}"
            raise AudioError(
                f"cannot write {self._name}: {kind} cannot hold audio without samples; write .wav"
            ) from error

    def _open_sound(self, path: Path) -> soundfile.SoundFile:
        with self._libsndfile_errors():
            return soundfile.SoundFile(
                _system_name(path),
                "w",
                self._sample_rate_hz,
                self._channels,
                format=self._format,
                subtype=self._subtype,
            )

    @property
    def _name(self) -> str:
        return _name_of(self._target)

    @contextlib.contextmanager
    def _libsndfile_errors(self) -> Iterator[None]:
        try:
            yield
        except soundfile.LibsndfileError as error:
            kind = (
                f"{self._format} {self._subtype} at {self._sample_rate_hz} Hz, {self._channels} "
                f"channels"
            )
            reason = error.error_string
            if error.code == _SYSTEM_ERROR:
                reason = "the system does not let it; is the disk full?"
            raise AudioError(f"cannot write {self._name} as {kind}: {reason}") from error


def _system_name(path: Path) -> Any:
    """A name as soundfile passes it on, which its stubs do not know to be bytes: it encodes text,
    and not every name on Unix is text.
    """
    return str(path) if os.name == "nt" else os.fsencode(path)


def _name_of(target: Target) -> str:
    return (
        os.fspath(target)
        if isinstance(target, (str, os.PathLike))
        else str(getattr(target, "name", "the pipe"))
    )


def _format_for(target: Target, subtype: str | None) -> tuple[str, str]:
    """Return libsndfile's names of format and subtype for a target."""
    suffix = ".wav"
    if isinstance(target, (str, os.PathLike)) and not is_special_file(target):
        suffix = Path(target).suffix.lower()
    if suffix not in AUDIO_FORMATS:
        known = " ".join(AUDIO_FORMATS)
        raise AudioError(
            f"cannot write {_name_of(target)}: the suffix names no audio format; known: {known}"
        )
    name = AUDIO_FORMATS[suffix]
    if subtype is None:
        usual = (
            "PCM_16" if soundfile.check_format(name, "PCM_16") else soundfile.default_subtype(name)
        )
        subtype = "OPUS" if suffix == ".opus" else usual
    if subtype not in soundfile.available_subtypes(name):
        known = " ".join(soundfile.available_subtypes(name))
        raise AudioError(
            f"cannot write {_name_of(target)}: {name} has no subtype {subtype}; it has {known}"
        )
    return name, subtype


@contextlib.contextmanager
def _writable_path(target: Target, *, overwrite: bool) -> Iterator[Path]:
    """A path to write to: the new file itself under a temporary name, or one to copy into a pipe at
    the end.
    """
    if isinstance(target, (str, os.PathLike)) and not is_special_file(target):
        with atomic_path(target, overwrite=overwrite) as path:
            yield path
        return
    with scratch_path() as path:
        yield path
        with contextlib.ExitStack() as stack:
            pipe = (
                stack.enter_context(open(target, "wb"))
                if isinstance(target, (str, os.PathLike))
                else target
            )
            shutil.copyfileobj(stack.enter_context(open(path, "rb")), pipe)
            pipe.flush()
