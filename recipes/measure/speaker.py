"""Speaker similarity: whether the voice is still that of the same person.

diveq-codec eval --model speech_16khz --bitrates 1.5,3 speech/ \\
    --plug-in recipes.measure.speaker:speaker_similarity

It needs: pip install --no-deps resemblyzer==0.1.4 && pip install webrtcvad-wheels scipy librosa
(resemblyzer itself asks for webrtcvad, which has to be compiled; webrtcvad-wheels is the same,
compiled.)
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from codec.errors import ConfigError
from codec.metrics import Metric, NothingToMeasure
from codec.metrics.metric import resampled

__all__ = ["speaker_similarity"]

_RATE_HZ = 16_000
_LEAST_SECONDS = 1.0


def _similarity(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Cosine of GE2E embeddings (Wan et al. 2018) of both signals, at one level, silence kept.

    Halves of a clip have 0.5 to 0.94, clips of different speakers 0.5 on average and 0.72 at most
    (12 clips).

    Raises:
        NothingToMeasure: There is less than a second of sound.
    """
    if len(reference) < _LEAST_SECONDS * sample_rate_hz:
        raise NothingToMeasure("a voice needs a second to be known")
    one, other = (
        _embedding(resampled(signal, sample_rate_hz, _RATE_HZ).tobytes())
        for signal in (reference, estimate)
    )
    return float(one @ other)


speaker_similarity = Metric(_similarity, "Speaker similarity")


@functools.lru_cache(maxsize=4)
def _embedding(samples: bytes) -> np.ndarray:
    """Of length 1."""
    resemblyzer = _package()
    wave = np.frombuffer(samples, np.float32)
    loud = resemblyzer.normalize_volume(wave, target_dBFS=-30, increase_only=False)
    return _encoder().embed_utterance(loud.astype(np.float32))


@functools.lru_cache
def _encoder() -> Any:
    return _package().VoiceEncoder("cpu", verbose=False)


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of names in scipy and pkg_resources that it still uses
            import resemblyzer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "speaker similarity needs: pip install --no-deps resemblyzer==0.1.4 && "
            f"pip install webrtcvad-wheels scipy librosa ({error})"
        ) from error
    return resemblyzer
