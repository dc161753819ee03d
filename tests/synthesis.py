"""Synthetic audio that resembles speech, for tests: the same samples for the same arguments.

Syllables of glottal pulses through moving formants, fricatives before some of them, pauses between
words.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

_VOWELS_HZ = np.array(
    [
        [730, 1090, 2440],
        [270, 2290, 3010],
        [300, 870, 2240],
        [530, 1840, 2480],
        [570, 840, 2410],
        [660, 1720, 2410],
    ]
)
_BANDWIDTHS_HZ = np.array([80.0, 110.0, 160.0])
_FRAME_SECONDS = 0.02
_SYLLABLE_SECONDS = 0.2


def synthesize_speech(
    seconds: float, *, sample_rate_hz: int = 16_000, seed: int = 0, level: float = 0.1
) -> np.ndarray:
    """Speech-like audio: float32 (samples,), round(seconds · rate) samples of the RMS `level`,
    peaks within ±1.
    """
    return _synthesized(seconds, sample_rate_hz, seed, level).copy()


@lru_cache(maxsize=64)
def _synthesized(seconds: float, sample_rate_hz: int, seed: int, level: float) -> np.ndarray:
    generator = np.random.default_rng(seed)
    samples = round(seconds * sample_rate_hz)
    time = np.arange(samples) / sample_rate_hz
    voiced, fricative = _gates(time, generator)
    vowels = _through_formants(_glottal_pulses(time, generator), sample_rate_hz, generator)
    sound = voiced * _normalized(vowels) + 0.2 * fricative * _normalized(
        _hiss(samples, sample_rate_hz, generator)
    )
    sound += 1e-3 * generator.standard_normal(
        samples
    )  # the room: recordings have no digital silence
    return np.clip(level * _normalized(sound), -1, 1).astype(np.float32)


def tone(
    seconds: float, frequency_hz: float, *, sample_rate_hz: int = 16_000, level: float = 0.1
) -> np.ndarray:
    """A sine of amplitude `level`: float32 (samples,)."""
    time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time)).astype(np.float32)


def write_corpus(
    root: Path, seconds: list[float], *, sample_rate_hz: int = 16_000, suffix: str = ".wav"
) -> Path:
    """Clips of the given lengths, each in the folder of a speaker of its own; 16 bits. Returns
    `root`.
    """
    for number, length in enumerate(seconds):
        speech = synthesize_speech(length, sample_rate_hz=sample_rate_hz, seed=number)
        path = root / f"speaker{number:02}" / f"clip{suffix}"
        path.parent.mkdir(parents=True)
        soundfile.write(path, speech, sample_rate_hz, subtype="PCM_16")
    return root


def _normalized(sound: np.ndarray) -> np.ndarray:
    """The sound at an RMS of 1."""
    return sound / np.sqrt(np.mean(sound**2) + 1e-12) if len(sound) else sound


def _gates(time: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Slowly opening gates of voice and of friction, per sample: each syllable is spoken, hissed
    first, or a pause.
    """
    syllable = (time / _SYLLABLE_SECONDS).astype(int)
    phase = time / _SYLLABLE_SECONDS - syllable
    count = int(syllable[-1]) + 1 if len(time) else 1
    kinds = generator.choice(3, size=count, p=[0.55, 0.25, 0.2])[syllable]
    arch = np.sin(np.pi * phase) ** 0.5
    late = np.sin(np.pi * np.clip((phase - 0.4) / 0.6, 0, 1)) ** 0.5
    early = np.sin(np.pi * np.clip(phase / 0.45, 0, 1))
    return np.where(kinds == 0, arch, np.where(kinds == 1, late, 0)), np.where(kinds == 1, early, 0)


def _glottal_pulses(time: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Pulses at a wandering pitch: harmonics that fall with their number, as those of a
    glottis do.
    """
    pitch_hz = generator.uniform(90, 220) * (
        1 + 0.15 * np.sin(2 * np.pi * 0.7 * time + generator.uniform(0, 6))
    )
    step = np.diff(time, prepend=0.0)
    phase = np.cumsum(pitch_hz * step) % 1.0
    return np.where(phase < 0.6, phase**2 * (0.6 - phase), 0.0) * 20 - 0.2


def _through_formants(
    source: np.ndarray, sample_rate_hz: int, generator: np.random.Generator
) -> np.ndarray:
    """Filter in overlapping frames, each by the three resonances of a vowel on its way to the next
    one.
    """
    hop = max(1, round(_FRAME_SECONDS * sample_rate_hz / 2))
    window = np.hanning(2 * hop + 1)[:-1]
    frames = len(source) // hop + 1
    padded = np.pad(source, (hop, 2 * hop))
    frequency_hz = np.fft.rfftfreq(4 * hop, 1 / sample_rate_hz)[:, None]
    formants_hz = _formant_tracks(frames, generator)
    result = np.zeros(len(padded) + 4 * hop)
    for frame in range(frames):
        gains = 1 / (1 + ((frequency_hz - formants_hz[frame]) / _BANDWIDTHS_HZ) ** 2)
        spectrum = np.fft.rfft(window * padded[frame * hop : (frame + 2) * hop], 4 * hop) * (
            0.02 + gains.sum(axis=1)
        )
        result[frame * hop : (frame + 4) * hop] += np.fft.irfft(spectrum, 4 * hop)
    return result[hop : hop + len(source)]


def _formant_tracks(frames: int, generator: np.random.Generator) -> np.ndarray:
    """(frames, 3) in Hz: straight lines from vowel to vowel, one per syllable."""
    per_syllable = _SYLLABLE_SECONDS / (_FRAME_SECONDS / 2)
    targets = _VOWELS_HZ[generator.integers(len(_VOWELS_HZ), size=int(frames / per_syllable) + 2)]
    position = np.arange(frames) / per_syllable
    return np.stack(
        [np.interp(position, np.arange(len(targets)), track) for track in targets.T], axis=1
    )


def _hiss(samples: int, sample_rate_hz: int, generator: np.random.Generator) -> np.ndarray:
    """Noise above 3 kHz, as in an "s"."""
    spectrum = np.fft.rfft(generator.standard_normal(samples)) if samples else np.zeros(1)
    frequency_hz = np.fft.rfftfreq(max(samples, 1), 1 / sample_rate_hz)
    return np.fft.irfft(
        spectrum / (1 + (3000 / np.maximum(frequency_hz, 1)) ** 4), max(samples, 1)
    )[:samples]
