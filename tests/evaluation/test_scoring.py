"""One clip against another: what is resampled, moved and averaged gives what the metrics give when
called directly.
"""

from __future__ import annotations

import numpy as np
import pesq
import pytest
import soxr
from synthesis import synthesize_speech

from codec.evaluation.scoring import Comparison, Pair, compare
from codec.evaluation.signal import Signal
from codec.metrics import Score, si_sdr

RATE_HZ = 16_000
SPEECH = synthesize_speech(3.0, seed=2)
NOISY = SPEECH + 0.003 * np.random.default_rng(0).standard_normal(len(SPEECH)).astype(np.float32)


def signal(*channels: np.ndarray, rate_hz: int = RATE_HZ) -> Signal:
    return Signal(wave=np.stack(channels).astype(np.float32), sample_rate_hz=rate_hz)


def scores(reference: Signal, decoded: Signal, *metrics: str, **options) -> Comparison:
    return compare(Pair(reference=reference, decoded=decoded, metrics=metrics, **options))


def test_a_delayed_clip_scores_as_the_overlap_of_both():
    found = scores(
        signal(SPEECH), signal(np.pad(NOISY, (400, 0))[:-100]), "pesq_wb", "si_sdr", keep_wave=True
    )
    heard = slice(0, len(SPEECH) - 100)  # 100 samples are lost at the end, and no metric sees them
    assert found.delay_samples == 400
    assert found.scores["pesq_wb"].value == pytest.approx(
        pesq.pesq(RATE_HZ, SPEECH[heard], NOISY[heard], "wb"), abs=1e-6
    )
    assert found.scores["si_sdr"].value == si_sdr(SPEECH[heard], NOISY[heard])
    np.testing.assert_array_equal(found.wave, [np.pad(NOISY[heard], (0, 100))])


def test_without_alignment_a_delay_costs():
    decoded = signal(np.pad(SPEECH, (400, 0)))
    assert scores(signal(SPEECH), decoded, "si_sdr").scores["si_sdr"].value == 100
    found = scores(signal(SPEECH), decoded, "si_sdr", align=False)
    assert found.delay_samples == 0
    assert (
        found.scores["si_sdr"].value == si_sdr(SPEECH, np.pad(SPEECH, (400, 0))[: len(SPEECH)]) < 0
    )


@pytest.mark.parametrize("rate_hz", [8_000, 24_000])
def test_other_rates_come_to_that_of_the_reference(rate_hz):
    decoded = soxr.resample(NOISY, RATE_HZ, rate_hz, quality="VHQ")
    back = soxr.resample(decoded, rate_hz, RATE_HZ, quality="VHQ")
    found = scores(signal(SPEECH), signal(decoded, rate_hz=rate_hz), "si_sdr", "pesq_nb")
    assert found.delay_samples == 0
    assert found.scores["si_sdr"].value == pytest.approx(si_sdr(SPEECH, back), abs=1e-3)
    assert found.scores["pesq_nb"].value == pytest.approx(
        pesq.pesq(RATE_HZ, SPEECH, back, "nb"), abs=1e-3
    )


def test_channels_are_scored_each_and_averaged():
    reference, decoded = signal(SPEECH, SPEECH[::-1]), signal(NOISY, SPEECH[::-1])
    expected = (si_sdr(SPEECH, NOISY) + 100) / 2
    assert scores(reference, decoded, "si_sdr").scores["si_sdr"].value == pytest.approx(
        expected, abs=1e-9
    )
    half = scores(reference, signal(NOISY, 0 * SPEECH), "si_sdr", "mel_distance").scores
    assert half["si_sdr"] == Score(None, "channel 2: the estimate is silent")
    assert half["mel_distance"].value > 0


@pytest.mark.parametrize(
    ("reference", "decoded", "failure"),
    [
        (
            signal(SPEECH),
            signal(SPEECH, SPEECH),
            "the reference has 1 channels, the decoded audio 2",
        ),
        (signal(0 * SPEECH), signal(SPEECH), "the reference is silent"),
        (
            signal(SPEECH),
            signal(SPEECH[:30_000]),
            "the decoded audio lasts 1.88 s, the reference 3.00 s: a delay ex",
        ),
        (
            signal(SPEECH),
            signal(np.tile(SPEECH, 2)),
            "the decoded audio lasts 6.00 s, the reference 3.00 s: a delay ex",
        ),
    ],
)
def test_what_cannot_be_compared_says_why(reference, decoded, failure):
    found = scores(reference, decoded, "si_sdr")
    assert found.failure.startswith(failure)
    assert found.scores == {}
