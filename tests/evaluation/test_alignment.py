"""Delays that were put there are found, on whole waveforms and where only the envelope is left."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from real_speech import SAMPLES
from synthesis import synthesize_speech

from codec.errors import AudioError
from codec.evaluation.alignment import find_delay, line_up, overlap
from codec.evaluation.signal import Signal, read_signal


def late(wave: np.ndarray, delay: int) -> np.ndarray:
    """The wave (channels, samples), later by `delay` samples, of the same length."""
    padded = np.pad(wave, ((0, 0), (max(0, delay), max(0, -delay))))
    return padded[:, : wave.shape[1]] if delay >= 0 else padded[:, -delay:]


def signal(wave: np.ndarray, rate_hz: int = 16_000) -> Signal:
    return Signal(wave=np.atleast_2d(wave).astype(np.float32), sample_rate_hz=rate_hz)


@pytest.mark.parametrize(
    ("rate_hz", "delay"),
    [(8_000, 37), (16_000, 0), (16_000, -700), (16_000, 8_000), (22_050, 1), (48_000, -24_000)],
)
def test_a_known_delay_is_found_exactly(rate_hz, delay):
    speech = synthesize_speech(3.0, sample_rate_hz=rate_hz, seed=5)[None]
    noise = np.random.default_rng(0).standard_normal(speech.shape)
    coded = 0.5 * late(speech, delay) + 0.005 * noise
    assert find_delay(signal(speech, rate_hz), signal(coded, rate_hz)) == delay


def test_channels_are_late_together():
    speech = np.stack([synthesize_speech(2.0, seed=1), 0.01 * synthesize_speech(2.0, seed=2)])
    assert find_delay(signal(speech), signal(late(speech, 123))) == 123


def test_where_the_waveform_is_lost_the_envelope_tells_to_3_ms():
    """Noise in the bands of the speech, as strong as these, frame by frame: no waveform of it is
    left.
    """
    speech = synthesize_speech(4.0, seed=3)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(speech, 128), 256)[::128] * np.hanning(
        256
    )
    phases = np.exp(2j * np.pi * np.random.default_rng(1).random((len(frames), 129)))
    noise = np.zeros(len(speech) + 256)
    for number, frame in enumerate(np.fft.irfft(np.abs(np.fft.rfft(frames)) * phases, 256)):
        noise[number * 128 :][:256] += frame
    vocoded = noise[128:][: len(speech)]
    correlation = vocoded @ speech / np.linalg.norm(vocoded) / np.linalg.norm(speech)
    assert abs(correlation) < 0.1
    for delay in (0, 640):
        assert find_delay(signal(speech), signal(late(vocoded[None], delay))) == pytest.approx(
            delay, abs=48
        )


def test_nothing_is_found_in_what_is_unlike():
    speech, noise = synthesize_speech(2.0, seed=1), np.random.default_rng(0).standard_normal(32_000)
    for other in (np.zeros(32_000), 0.1 * noise):
        assert find_delay(signal(speech), signal(other)) == 0
    assert find_delay(signal(np.zeros(32_000)), signal(np.zeros(32_000))) == 0


def test_of_long_signals_the_loudest_minute_is_searched():
    """The first minute, nearly silent, has a delay of another size."""
    rate_hz = 2_000
    quiet = 1e-3 * np.random.default_rng(0).standard_normal((1, 60 * rate_hz))
    speech = synthesize_speech(20.0, sample_rate_hz=rate_hz, seed=2)[None]
    coded = signal(np.concatenate([late(quiet, 90), late(speech, 5)], axis=1), rate_hz)
    assert find_delay(signal(np.concatenate([quiet, speech], axis=1), rate_hz), coded) == 5


def test_line_up_takes_the_delay_back():
    wave = np.arange(1, 11, dtype=np.float32)[None]
    for delay, expected in [
        (0, [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, [4, 5, 6, 7, 8, 9, 10, 0]),
        (-2, [0, 0, 1, 2, 3, 4, 5, 6]),
    ]:
        assert line_up(wave, delay, 8).tolist() == [expected]
    with pytest.raises(AudioError, match="do not overlap"):
        line_up(wave, -9, 8)
    assert overlap(10, 3, 8) == (0, 7)
    assert overlap(10, -2, 20) == (2, 12)


def test_real_speech_with_four_bits_of_its_waveform():
    for number, path in enumerate(sorted(SAMPLES.glob("*.flac"))[::2]):
        speech = read_signal(path)
        assert speech.wave.tolist() == [soundfile.read(path, dtype="float32")[0].tolist()]
        coded = np.round(late(speech.wave, 250 * number - 500) * 16) / 16
        assert find_delay(speech, signal(coded, speech.sample_rate_hz)) == 250 * number - 500
