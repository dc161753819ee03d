"""Reading of sound files and pipes, a block at a time."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from ..errors import AudioError
from ..layouts.config import MAX_RATE_HZ, MIN_RATE_HZ
from .audio_writer import AUDIO_FORMATS

MAX_CHANNELS = 255
BLOCK_SAMPLES = 65_536
LOUDEST = 8.0
WRITABLE_SUFFIXES = frozenset(AUDIO_FORMATS)
# What libsndfile reads besides, where the name tells that it is audio: .mat, .htk, .mpc and .xi are
# other things too.
AUDIO_SUFFIXES = WRITABLE_SUFFIXES | {
    ".8svx",
    ".aifc",
    ".avr",
    ".bwf",
    ".iff",
    ".mp1",
    ".mp2",
    ".nist",
    ".paf",
    ".pvf",
    ".sf",
    ".snd",
    ".svx",
    ".voc",
    ".wve",
}

# Programs that write WAV to a pipe cannot know its length and put a huge one (ffmpeg 2³²-1, sox
# 2³¹-4096, …).
_PLACEHOLDER_BYTES = 0x7FFF0000
_UNKNOWN_FRAMES = 0x7FFFFFFFFFFFFFFF


@contextlib.contextmanager
def open_audio(source: str | os.PathLike[str] | BinaryIO) -> Iterator[AudioReader]:
    """Open audio for reading: any format that libsndfile knows, incl. WAV, FLAC, MP3, Ogg Vorbis
    and Opus.

    A truncated file is an error where its format tells: Ogg does not, and is read up to its last
    whole page. An MP3 file of variable bitrate without the usual Xing header is read only as far as
    libsndfile guesses its length.

    Args:
        source: A path, or a binary file object. What cannot seek (a pipe) is first copied to a
            temporary file, since libsndfile cannot read pipes; a WAV header that left its length
            open is then completed.

    Raises:
        AudioError: The file is missing, empty, damaged, or not audio. Samples are checked as they
            are read.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> soundfile.write(file, np.zeros((800, 2)), 8000, format="WAV")
        >>> _ = file.seek(0)
        >>> with open_audio(file) as reader:
        ...     blocks = list(reader.blocks(500))
        >>> reader.sample_rate_hz, reader.channels, reader.frames, [block.shape for block in blocks]
        (8000, 2, 800, [(2, 500), (2, 300)])
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            file = stack.enter_context(_open_path(name))
        else:
            name = str(getattr(source, "name", "audio stream"))
            file = source
        if not _can_seek(file):
            file = stack.enter_context(_spooled(file, name))
        yield AudioReader(stack.enter_context(_open_sound(file, name)), name)


def _open_path(name: str) -> BinaryIO:
    try:
        return open(name, "rb")
    except IsADirectoryError as error:
        raise AudioError(f"cannot read {name}: it is a folder; give a file") from error
    except ValueError as error:  # a null character
        raise AudioError(f"cannot read {name!r}: {error}") from error
    except OSError as error:
        # Windows answers "permission denied" for a folder.
        reason = "it is a folder; give a file" if os.path.isdir(name) else error.strerror
        raise AudioError(f"cannot read {name}: {reason}") from error


def _can_seek(file: BinaryIO) -> bool:
    """Return whether a file can seek; terminals, and all pipes on Windows, may wrongly say so
    (CPython issue 86768).
    """
    try:
        mode = os.fstat(file.fileno()).st_mode
    except (OSError, AttributeError):
        return file.seekable()  # a file in memory
    return file.seekable() and not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode))


@contextlib.contextmanager
def _spooled(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as spool:
        try:
            shutil.copyfileobj(file, spool)
        except OSError as error:
            raise AudioError(f"cannot copy {name} to a temporary file: {error.strerror}") from error
        _complete_wav_header(spool)
        spool.seek(0)
        yield spool


def _complete_wav_header(spool: BinaryIO) -> None:
    """Set a length of 0 in a piped WAV header to "to the end of the file", which libsndfile
    accepts; some writers leave both lengths at 0.
    """
    spool.seek(0)
    head = spool.read(12)
    if (
        head[:4] != b"RIFF"
        or head[8:] != b"WAVE"
        or struct.unpack("<I", head[4:8])[0] not in (0, 0xFFFFFFFF)
    ):
        return
    while len(chunk := spool.read(8)) == 8:
        identifier, length = struct.unpack("<4sI", chunk)
        if identifier == b"data":
            if length == 0:
                spool.seek(-4, os.SEEK_CUR)
                spool.write(b"\xff\xff\xff\xff")
            return
        spool.seek(length + length % 2, os.SEEK_CUR)


def _open_sound(file: BinaryIO, name: str) -> soundfile.SoundFile:
    try:
        start = file.tell()
        is_empty = not file.read(1)
        file.seek(start)
    except OSError as error:  # a file of /proc
        raise AudioError(f"cannot read {name}: {error.strerror or error}") from error
    if is_empty:
        raise AudioError(f"cannot read {name}: it is empty")
    try:
        return _SequentialSoundFile(file)
    except (
        soundfile.LibsndfileError,
        TypeError,
    ) as error:  # TypeError: soundfile wants more arguments for ".raw"
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"cannot read {name}: not audio in a known format ({reason})") from error


def check_level(samples: np.ndarray, name: str) -> None:
    """Raise an `AudioError` for audio far louder than full scale, on which models fail.

    Up to 12 dB above it is coded as well as any, as recordings in floats may be so loud.
    """
    peak = float(np.abs(samples).max(initial=0))
    if peak <= LOUDEST:
        return
    if not math.isfinite(peak):
        raise AudioError(f"{name} holds NaN or infinite samples")
    remedy = "divide it by 32768" if peak <= 1 << 15 else "scale it"
    raise AudioError(
        f"{name} reaches {peak:g}, where full scale is 1: is it scaled as integers? {remedy} first"
    )


class _SequentialSoundFile(soundfile.SoundFile):
    """A `SoundFile` that reads on without seeking, since soundfile seeks after each read and a FLAC
    stream of unknown length cannot.
    """

    def seekable(self) -> bool:
        return False


class AudioReader:
    """An open audio file; made by `open_audio`.

    Attributes:
        name: What messages call it.
        sample_rate_hz: 1,000 to 768,000.
        channels: 1 to 255.
        frames: Samples per channel, or None where the file does not say (a FLAC stream from a
            pipe).
    """

    def __init__(self, sound: soundfile.SoundFile, name: str) -> None:
        self._sound = sound
        self.name = name
        self.sample_rate_hz = int(sound.samplerate)
        self.channels = int(sound.channels)
        self.frames = None if sound.frames == _UNKNOWN_FRAMES else int(sound.frames)
        if not MIN_RATE_HZ <= self.sample_rate_hz <= MAX_RATE_HZ:
            known = f"rates of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz can be coded"
            raise AudioError(f"{name}: {self.sample_rate_hz} Hz; {known}")
        if self.channels > MAX_CHANNELS:
            raise AudioError(f"{name}: {self.channels} channels; up to {MAX_CHANNELS} can be coded")
        self._check_promised_bytes()

    def _check_promised_bytes(self) -> None:
        """libsndfile shortens a truncated PCM file in silence; only its log tells."""
        pattern = r"^\s*(?:data|SSND|riff|Data Size)\s*: (\d+) \(should be (\d+)\)"
        for promised, present in re.findall(pattern, self._sound.extra_info, re.MULTILINE):
            if int(present) < int(promised) < _PLACEHOLDER_BYTES:
                raise AudioError(
                    f"{self.name} is truncated: {present} of {promised} bytes of audio are there; "
                    f"get a whole copy"
                )

    def blocks(self, frames: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """Yield the remaining samples: float32 (channels, up to `frames`), never empty.

        Raises:
            AudioError: A sample is NaN or infinite, the decoder fails, or the file ends too early.
        """
        position = self._sound.tell()
        while (block := self._read(frames, position)).shape[1]:
            position += block.shape[1]
            yield block
        if self.frames is not None and position < self.frames:
            raise AudioError(
                f"{self.name} is truncated: it ends after {position} of {self.frames} samples"
            )

    def read(self, start: int, frames: int) -> np.ndarray:
        """Read the samples [start, start + frames): float32 (channels, frames).

        Raises:
            AudioError: The file is shorter, or as for `blocks`.
        """
        try:
            self._sound.seek(start)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.name}: cannot seek to sample {start}: {error.error_string}"
            ) from error
        block = self._read(frames, start)
        if block.shape[1] < frames:
            raise AudioError(
                f"{self.name} ends at sample {start + block.shape[1]}, before {start + frames}"
            )
        return block

    def _read(self, frames: int, position: int) -> np.ndarray:
        try:
            samples = self._sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.name} is damaged at sample {position}: {error.error_string}"
            ) from error
        finite = np.isfinite(samples).all(axis=1)
        if not finite.all():
            at = position + int(np.argmin(finite))
            raise AudioError(
                f"{self.name}: sample {at} ({at / self.sample_rate_hz:.3f} s) is NaN or infinite"
            )
        check_level(samples, self.name)
        return np.ascontiguousarray(samples.T)
