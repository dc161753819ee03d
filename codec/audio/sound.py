"""Converts the forms in which callers and other libraries hold audio to a checked wave and its
rate.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from os import PathLike
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ..errors import AudioError
from .audio_reader import check_level, open_audio

__all__ = ["Sound", "as_array", "checked_wave", "read_sound"]

Sound = Any
"""ArrayLike | torch.Tensor | a path | an entry of an audio column | an AudioSignal."""


def read_sound(source: Sound, sample_rate_hz: int | None) -> tuple[np.ndarray, int]:
    """Return finite float32 (channels, samples), and the rate.

    Args:
        source: floats (samples,) or (channels, samples), as an array, a list or a tensor; a path;
            an entry of an `Audio` column of Hugging Face `datasets` (a dict, or a decoder); or an
            `AudioSignal` of audiotools.
        sample_rate_hz: of an array; None for what knows its own.

    Raises:
        AudioError: not audio, or an array without a rate, or a rate that contradicts the source's
            own.
    """
    wave, own_rate = _wave_and_rate(source)
    if own_rate is None and sample_rate_hz is None:
        raise AudioError("an array does not say its rate: give sample_rate_hz")
    if own_rate is not None and sample_rate_hz not in (None, own_rate):
        raise AudioError(
            f"the audio has {own_rate} Hz, not {sample_rate_hz}; leave sample_rate_hz out"
        )
    rate = own_rate if sample_rate_hz is None else sample_rate_hz
    return checked_wave(wave), cast("int", rate)


def checked_wave(wave: Sound) -> np.ndarray:
    """Return a wave as finite float32 (channels, samples), or raise."""
    wave = as_array(wave)
    try:
        array = np.asarray(wave)
    except ValueError as error:
        raise AudioError(
            f"audio has the shape (samples,) or (channels, samples): {error}"
        ) from error
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise AudioError(
            f"audio has the shape (samples,) or (channels, samples), not {array.shape}"
        )
    if array.dtype.kind != "f":
        raise AudioError(
            f"audio is floats in [-1, 1], not {array.dtype}; divide int16 samples by 32768"
        )
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    check_level(array, "the audio")
    return array


def as_array(values: Any) -> ArrayLike:
    """Convert a tensor to an array; torch is looked up, never imported."""
    module = sys.modules.get("torch")
    if module is None or not isinstance(values, module.Tensor):
        return cast("ArrayLike", values)
    tensor = values.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _wave_and_rate(source: Any) -> tuple[Any, int | None]:
    """Audio and the rate that it says itself."""
    if isinstance(source, str | PathLike):
        return _from_file(source)
    if isinstance(source, Mapping):
        return _from_entry(source)
    if hasattr(
        source, "get_all_samples"
    ):  # what newer versions of datasets give: a decoder of torchcodec
        samples = source.get_all_samples()
        return samples.data, samples.sample_rate
    if hasattr(source, "audio_data"):
        return _from_signal(source)
    return source, None


def _from_file(source: Any) -> tuple[np.ndarray, int]:
    with open_audio(source) as reader:
        empty = np.zeros((reader.channels, 0), np.float32)
        return np.concatenate([empty, *reader.blocks()], axis=1), reader.sample_rate_hz


def _from_entry(entry: Mapping[str, Any]) -> tuple[Any, int]:
    """Of an `Audio` column: decoded, or with `decode=False` the file's bytes or path."""
    if entry.get("array") is not None and "sampling_rate" in entry:
        return entry["array"], entry["sampling_rate"]
    if entry.get("bytes") is not None:
        return _from_file(io.BytesIO(entry["bytes"]))
    if entry.get("path") is not None:
        return _from_file(entry["path"])
    raise AudioError(
        f"an audio column's entry has array and sampling_rate, or bytes, or path; this has "
        f"{', '.join(map(str, entry))}"
    )


def _from_signal(signal: Any) -> tuple[Any, int]:
    if len(signal.audio_data) != 1:
        raise AudioError(
            f"a signal of {len(signal.audio_data)} items; encode_batch takes them as a list"
        )
    return signal.audio_data[0], signal.sample_rate
