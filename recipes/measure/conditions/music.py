"""Music, as far as arithmetic makes it: chords that are struck and die away, a bass, and
percussion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["PASSAGE_SECONDS", "passage"]

PASSAGE_SECONDS = 10.0
_LEVEL = 0.1  # RMS, -20 dBFS
_PEAK = 0.99
_PROGRESSIONS = (
    (0, 9, 5, 7),
    (0, 5, 7, 0),
    (0, 7, 9, 5),
    (0, 4, 5, 7),
)  # roots, in semitones above the key
_MINOR_ROOTS = (4, 9)
_PARTIALS = 10
_ATTACK_SECONDS = 0.01


def passage(number: int, sample_rate_hz: int) -> Float[np.ndarray, " samples"]:
    """Ten seconds of float32 at -20 dBFS, the same for the same number: key, tempo, chords and
    strokes follow it.
    """
    generator = np.random.default_rng(number)
    beat_seconds = 60 / generator.uniform(90, 140)
    key_hz = 110 * 2 ** (generator.integers(12) / 12)
    roots = _PROGRESSIONS[generator.integers(len(_PROGRESSIONS))]
    sound = np.zeros(round(PASSAGE_SECONDS * sample_rate_hz))
    for beat in range(int(PASSAGE_SECONDS / beat_seconds) + 1):
        start = round(beat * beat_seconds * sample_rate_hz)
        root = roots[beat // 4 % len(roots)]
        if beat % 2 == 0:
            _add(sound, start, _chord(key_hz, root, sample_rate_hz, generator))
        _add(
            sound,
            start,
            2 * _drum(sample_rate_hz) if beat % 2 == 0 else 0.8 * _snare(sample_rate_hz, generator),
        )
        for half in (0.0, 0.5):
            offset = round(half * beat_seconds * sample_rate_hz)
            _add(sound, start + offset, 0.3 * _cymbal(sample_rate_hz, generator))
    sound *= min(_LEVEL / np.sqrt(np.mean(sound**2)), _PEAK / np.abs(sound).max())
    return sound.astype(np.float32)


def _add(sound: np.ndarray, start: int, stroke: np.ndarray) -> None:
    """In place; what is past the end is cut."""
    part = sound[start : start + len(stroke)]
    part += stroke[: len(part)]


def _chord(
    key_hz: float, root: int, sample_rate_hz: int, generator: np.random.Generator
) -> np.ndarray:
    """A triad over its bass, each voice struck by a little chance later and softer."""
    third = 3 if root in _MINOR_ROOTS else 4
    voices_hz = key_hz * 2 ** ((root + np.array([-12, 0, third, 7, 12])) / 12)
    chord = np.zeros(round(2.5 * sample_rate_hz))
    for voice_hz in voices_hz:
        start = round(generator.uniform(0, 0.02) * sample_rate_hz)
        _add(chord, start, generator.uniform(0.6, 1) * _tone(voice_hz, sample_rate_hz, generator))
    return chord


def _tone(pitch_hz: float, sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """Harmonics below half the rate, the higher the softer and the shorter, of random phases."""
    time = np.arange(round(2.4 * sample_rate_hz)) / sample_rate_hz
    numbers = np.arange(1, _PARTIALS + 1)
    numbers = numbers[numbers * pitch_hz < sample_rate_hz / 2]
    phases = generator.uniform(0, 2 * np.pi, numbers.shape)
    harmonic = np.exp((2j * np.pi * pitch_hz - 0.5) * time)  # its n-th power is the n-th one
    partials = np.zeros(len(time), complex)
    for amplitude in (np.exp(1j * phases) / numbers)[::-1]:
        partials = (partials + amplitude) * harmonic
    return np.minimum(time / _ATTACK_SECONDS, 1) * np.exp(-1.5 * time) * np.imag(partials)


def _drum(sample_rate_hz: int) -> np.ndarray:
    """A skin: a tone that falls from 150 to 50 Hz."""
    time = np.arange(round(0.3 * sample_rate_hz)) / sample_rate_hz
    phase = 2 * np.pi * (50 * time + 100 * 0.03 * (1 - np.exp(-time / 0.03)))
    return np.exp(-time / 0.08) * np.sin(phase)


def _snare(sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """A burst of white noise."""
    time = np.arange(round(0.25 * sample_rate_hz)) / sample_rate_hz
    return np.exp(-time / 0.05) * generator.standard_normal(len(time))


def _cymbal(sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """A short burst of noise that rises by 12 dB per octave."""
    time = np.arange(round(0.1 * sample_rate_hz)) / sample_rate_hz
    return np.exp(-time / 0.02) * np.diff(generator.standard_normal(len(time) + 2), 2)
