"""Embeds recordings in a page: chooses clips, and encodes audio and pictures as data URIs."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioError
from ..evaluation.result import Evaluation
from .spectrogram import Axes, spectrogram_png

__all__ = [
    "ANCHOR",
    "ANCHOR_NAME",
    "MAX_BYTES",
    "RecordedClip",
    "Recording",
    "data_uri",
    "flac_bytes",
    "record_clips",
]

MAX_BYTES = 20_000_000
ANCHOR, ANCHOR_NAME = -1, "Low anchor, 3.5 kHz"  # of ITU-R BS.1534
_ANCHOR_HZ = 3500


@dataclass(frozen=True, slots=True)
class Recording:
    """One version of a clip: `system` is a place in `Evaluation.systems`, `ANCHOR`, or None for the
    reference.
    """

    system: int | None
    path: Path
    flac: str
    spectrogram: str


@dataclass(frozen=True, slots=True)
class RecordedClip:
    """A clip: its reference first, then all systems that can be read; `unreadable` says why others
    cannot.
    """

    clip: int
    seconds: float
    top_hz: float
    recordings: tuple[Recording, ...]
    unreadable: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes that it takes in a page."""
        return sum(
            len(recording.flac) + len(recording.spectrogram) for recording in self.recordings
        )


def record_clips(
    evaluation: Evaluation,
    folder: Path,
    clips: Iterator[int] | tuple[int, ...],
    *,
    max_bytes: int = MAX_BYTES,
    with_anchor: bool = False,
) -> tuple[tuple[RecordedClip, ...], tuple[str, ...]]:
    """The clips that can be heard, in the order given, as many as go into `max_bytes`, and why
    others are not there.

    Args:
        evaluation: Where the recordings are named.
        folder: That of the evaluation's file, to which the names are relative.
        clips: Places in `evaluation.references`.
        max_bytes: Of all data URIs together.
        with_anchor: The low anchor of listening tests goes with each clip.
    """
    kept: list[RecordedClip] = []
    missing: list[str] = []
    for clip in clips:
        try:
            recorded = _record(evaluation, folder, clip, with_anchor)
        except AudioError as error:
            missing.append(str(error))
            continue
        if sum(other.size for other in kept) + recorded.size > max_bytes:
            missing.append(
                f"{evaluation.references[clip].name}: left out, to keep this page below "
                f"{max_bytes / 1e6:g} MB"
            )
            continue
        kept.append(recorded)
    return tuple(kept), tuple(missing)


def _record(evaluation: Evaluation, folder: Path, clip: int, with_anchor: bool) -> RecordedClip:
    reference = evaluation.references[clip]
    if reference.audio is None:
        raise AudioError(f"{reference.name}: the evaluation names no recording of it")
    path = folder / reference.audio
    samples, rate = _read(path, reference.audio)
    axes = Axes.of(_mono(samples), rate)
    recordings = [_recording(None, path, samples, rate, axes)]
    if with_anchor:
        recordings.append(_recording(ANCHOR, path, _low_passed(samples, rate), rate, axes))
    unreadable = []
    for number, system in enumerate(evaluation.systems):
        audio = system.clips[clip].audio
        if audio is None:
            continue
        try:
            recordings.append(
                _recording(number, folder / audio, *_read(folder / audio, audio), axes)
            )
        except AudioError as error:
            unreadable.append(f"{system.name}: {error}")
    return RecordedClip(clip, axes.seconds, axes.top_hz, tuple(recordings), tuple(unreadable))


def _read(path: Path, name: str) -> tuple[np.ndarray, int]:
    """int16 (samples, channels) and the rate; 16-bit files as they are."""
    if not path.is_file():
        raise AudioError(f"{name}: no such file")
    try:
        with open(path, "rb") as file:  # and not its name, which may be no text
            samples, rate = soundfile.read(file, dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise AudioError(f"{name}: not audio that can be read ({reason})") from error
    if not len(samples):
        raise AudioError(f"{name}: holds no samples")
    return samples, rate


def _low_passed(samples: np.ndarray, rate: int) -> np.ndarray:
    """Filter an anchor at 3.5 kHz: int16 (samples, channels)."""
    spectrum = np.fft.rfft(samples, axis=0)
    spectrum[np.fft.rfftfreq(len(samples), 1 / rate) > _ANCHOR_HZ] = 0
    return (
        np.rint(np.fft.irfft(spectrum, len(samples), axis=0)).clip(-32768, 32767).astype(np.int16)
    )


def _mono(samples: np.ndarray) -> np.ndarray:
    return samples.mean(axis=1) / 32768


def _recording(
    system: int | None, path: Path, samples: np.ndarray, rate: int, axes: Axes
) -> Recording:
    flac = flac_bytes(samples, rate, path.name)
    picture = spectrogram_png(_mono(samples), rate, axes)
    return Recording(system, path, data_uri("audio/flac", flac), data_uri("image/png", picture))


def flac_bytes(samples: np.ndarray, rate: int, name: str) -> bytes:
    """Encode samples (samples, channels) as 16-bit FLAC."""
    file = io.BytesIO()
    try:
        soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{name}: FLAC, which pages play, holds up to 8 channels and 655350 Hz, "
            f"not {samples.shape[1]} channels at {rate} Hz"
        ) from error
    return file.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """Give bytes of a media type, such as "image/png", as an address that holds them."""
    return f"data:{kind};base64,{b64encode(data).decode()}"
