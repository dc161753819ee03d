"""How near decoded speech is to the original: PESQ, STOI, SI-SDR and spectral distances, on numpy arrays.

All take two equally long signals (samples,), reference first, already aligned: a constant delay of a codec must be
removed before. A metric that has no answer raises `MetricError` (too short, silent, …), and never gives a number in
its place; `score` turns that into a `Score` with the reason.

PESQ and STOI need the packages of `pip install 'diveq-codec[eval]'`.
"""

from __future__ import annotations

import functools
import importlib
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import soxr

from .errors import AudioError, ConfigError, DiveqCodecError

__all__ = [
    "METRICS",
    "Metric",
    "MetricError",
    "Score",
    "estoi",
    "log_spectral_distance",
    "mel_distance",
    "pesq_nb",
    "pesq_wb",
    "score",
    "si_sdr",
    "stoi",
]

MEL_WINDOWS = (512, 1024)
MEL_BANDS = 80
MAGNITUDE_FLOOR = 1e-5
SPECTRAL_WINDOW = 1024
MAX_SI_SDR_DB = 100.0
# The reference implementation of PESQ overruns its tables at more than 50 utterances, and crashes or worse. An
# utterance lasts 200 ms at least, as does the pause behind it: 50 cannot fit into this.
_PESQ_SECONDS = 20


class MetricError(DiveqCodecError):
    """A metric that has no value for these signals."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric, or why there is none: one of the two is None."""

    value: float | None
    failure: str | None = None


def score(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int, names: Iterable[str] | None = None
) -> dict[str, Score]:
    """Several metrics at once.

    Args:
        reference: The original, float (samples,).
        estimate: The decoded signal, float (samples,), aligned.
        sample_rate_hz: Rate of both, in Hz.
        names: Keys of `METRICS`; all by default.

    Raises:
        ConfigError: A name is unknown, or a package is not installed.
        AudioError: The signals are not of one length and one dimension.

    Example:
        >>> wave = np.sin(np.arange(16000) / 10)
        >>> score(wave, 0.5 * wave, sample_rate_hz=16000, names=["si_sdr"])
        {'si_sdr': Score(value=100.0, failure=None)}
        >>> score(wave[:9], wave[:9], sample_rate_hz=16000, names=["mel_distance"])["mel_distance"].failure
        '9 samples, but the longest window has 1024'
    """
    names = list(METRICS) if names is None else list(names)
    if unknown := [name for name in names if name not in METRICS]:
        raise ConfigError(f"unknown metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
    return {name: _attempt(METRICS[name], reference, estimate, sample_rate_hz) for name in names}


def _attempt(metric: Metric, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> Score:
    try:
        return Score(metric(reference, estimate, sample_rate_hz=sample_rate_hz))
    except MetricError as error:
        return Score(None, str(error))


def pesq_wb(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2), about 1.0 to 4.64, of both signals resampled to 16 kHz.

    Signals of more than 20 s are scored in equal parts, and these averaged by the energy of the reference, so that
    a pause does not count as speech: the standard is meant for 8 to 20 s, and its implementation overruns its
    tables on long ones.
    """
    return _pesq("wb", 16_000, reference, estimate, sample_rate_hz)


def pesq_nb(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Narrow-band PESQ (ITU-T P.862), about 1.0 to 4.55: at 8 kHz for signals of 8 kHz, else at 16 kHz."""
    return _pesq("nb", 8_000 if sample_rate_hz == 8_000 else 16_000, reference, estimate, sample_rate_hz)


def _pesq(mode: str, rate_hz: int, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    package = _package("pesq")
    _check_pair(reference, estimate, both_heard=True)
    signals = [_resampled(signal, sample_rate_hz, rate_hz) for signal in (reference, estimate)]
    parts = max(1, -(-len(signals[0]) // (_PESQ_SECONDS * rate_hz)))
    values, weights = [], []
    for one, other in zip(*(np.array_split(signal, parts) for signal in signals), strict=True):
        if not one.any():
            continue
        if not other.any():
            raise MetricError(f"PESQ: {len(other) / rate_hz:g} s of the estimate are silent")
        try:
            values.append(float(package.pesq(rate_hz, one, other, mode)))
            weights.append(np.square(one, dtype=np.float64).sum())
        except package.NoUtterancesError:
            continue
        except package.PesqError as error:
            raise MetricError(f"PESQ: {error.args[0].decode()}") from error
    if not values:
        raise MetricError("PESQ: no speech in the reference")
    return float(np.average(values, weights=weights))


def stoi(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), up to 1."""
    return _stoi(reference, estimate, sample_rate_hz, extended=False)


def estoi(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Extended STOI (Jensen and Taal 2016), up to 1."""
    return _stoi(reference, estimate, sample_rate_hz, extended=True)


def _stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, *, extended: bool) -> float:
    package = _package("pystoi")
    _check_pair(reference, estimate, both_heard=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi warns, and returns 1e-5 as if measured
        try:
            value = float(package.stoi(reference, estimate, sample_rate_hz, extended=extended))
        except (RuntimeWarning, ValueError, IndexError) as error:
            raise MetricError("STOI: fewer than 30 frames (0.4 s) of speech") from error
    return value


def si_sdr(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int | None = None) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), means removed, 100 dB at most.

    The rate has no influence; it is taken so that all metrics are called alike.
    """
    del sample_rate_hz
    _check_pair(reference, estimate, both_heard=True)
    reference = reference.astype(np.float64) - np.mean(reference, dtype=np.float64)
    estimate = estimate.astype(np.float64) - np.mean(estimate, dtype=np.float64)
    energy = np.dot(reference, reference)
    if not energy:
        raise MetricError("the reference is constant")
    target = np.dot(reference, estimate) / energy * reference
    distortion = np.sum((estimate - target) ** 2)
    kept = np.sum(target**2)
    if not kept:
        raise MetricError("the estimate has nothing of the reference")
    return min(MAX_SI_SDR_DB, 10 * math.log10(kept / distortion)) if distortion else MAX_SI_SDR_DB


def mel_distance(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Mean |Δ log10 mel| over windows of 512 and 1024 samples, all frames and 80 bands; 0 is best.

    Magnitudes (not powers) of a periodic Hann window with a hop of a quarter, frames centred, edges reflected;
    Slaney's mel scale and area-normalised triangles from 0 Hz to half the rate; values below 1e-5 count as 1e-5.
    """
    _check_pair(reference, estimate)
    _check_length(reference, max(MEL_WINDOWS))
    return float(np.mean([_mel_distance(reference, estimate, sample_rate_hz, window) for window in MEL_WINDOWS]))


def _mel_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, window: int) -> float:
    bands = _mel_bands(sample_rate_hz, window)
    logs = [
        np.log10(np.maximum(bands @ _magnitudes(signal, window), MAGNITUDE_FLOOR)) for signal in (reference, estimate)
    ]
    return float(np.mean(np.abs(logs[0] - logs[1])))


def log_spectral_distance(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int | None = None) -> float:
    """Mean over frames of the RMS over bins of the difference of levels, in dB; 0 is best.

    Windows of 1024 samples at any rate, a hop of 256; magnitudes below 1e-5 count as 1e-5.
    """
    del sample_rate_hz
    _check_pair(reference, estimate)
    _check_length(reference, SPECTRAL_WINDOW)
    levels = [
        20 * np.log10(np.maximum(_magnitudes(signal, SPECTRAL_WINDOW), MAGNITUDE_FLOOR))
        for signal in (reference, estimate)
    ]
    return float(np.mean(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=0))))


@dataclass(frozen=True, slots=True)
class Metric:
    """How to measure, and how to show what was measured: a title, a unit ("" for none), and which way is better."""

    measure: Callable[..., float]
    title: str
    unit: str = ""
    higher_is_better: bool = True

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
        return self.measure(reference, estimate, sample_rate_hz=sample_rate_hz)


METRICS: dict[str, Metric] = {
    "pesq_wb": Metric(pesq_wb, "PESQ-WB", "MOS-LQO"),
    "pesq_nb": Metric(pesq_nb, "PESQ-NB", "MOS-LQO"),
    "stoi": Metric(stoi, "STOI"),
    "estoi": Metric(estoi, "ESTOI"),
    "si_sdr": Metric(si_sdr, "SI-SDR", "dB"),
    "mel_distance": Metric(mel_distance, "Mel distance", higher_is_better=False),
    "log_spectral_distance": Metric(log_spectral_distance, "Log-spectral distance", "dB", higher_is_better=False),
}


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"this metric needs the package {name}: pip install 'diveq-codec[eval]'") from error


def _check_pair(reference: np.ndarray, estimate: np.ndarray, *, both_heard: bool = False) -> None:
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise AudioError(
            f"metrics compare two signals (samples,) of one length, not {reference.shape} with {estimate.shape}"
        )
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            raise MetricError(f"the {name} has samples that are NaN or infinite")
        if both_heard and not signal.any():
            raise MetricError(f"the {name} is silent")


def _check_length(signal: np.ndarray, window: int) -> None:
    if len(signal) < window:
        raise MetricError(f"{len(signal)} samples, but the longest window has {window}")


def _resampled(signal: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    signal = np.asarray(signal, dtype=np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="VHQ")


def _magnitudes(signal: np.ndarray, window: int) -> np.ndarray:
    """Short-time spectrum (bins, frames) with a hop of a quarter."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(signal.astype(np.float64), window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    return np.abs(np.fft.rfft(hann * frames)).T


@functools.lru_cache
def _mel_bands(sample_rate_hz: int, window: int) -> np.ndarray:
    """Triangles of equal area, (bands, bins), in Slaney's Auditory Toolbox' manner."""
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(sample_rate_hz / 2), MEL_BANDS + 2))
    bins_hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


# Linear to 1 kHz (mel 15), logarithmic from there: 27 bands for a factor of 6.4.
_LOG_STEP = math.log(6.4) / 27


def _hz_to_mel(frequency_hz: float) -> float:
    return frequency_hz * 3 / 200 if frequency_hz < 1000 else 15 + math.log(frequency_hz / 1000) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))
