"""Pitch: tracks of sounds whose pitch is known, figures against sums by hand, and a run that tells
what it found.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthesis import write_corpus

from codec import Codec
from codec.errors import ConfigError
from codec.evaluation.result import Clip
from codec.metrics import Score
from codec.training.validation import read_clip
from recipes.measure.harness import ModelArguments, Subject
from recipes.measure.pitch.__main__ import main
from recipes.measure.pitch.pitch_figures import pitch_figures
from recipes.measure.pitch.pitch_findings import CodedPitch, MeasuredClip, PitchFindings
from recipes.measure.pitch.pitch_tables import as_markdown
from recipes.measure.pitch.sentences import LANGUAGES, Language, spoken
from recipes.measure.pitch.track import HOP_SECONDS, track_pitch, with_trace_of_noise

pytest.importorskip("librosa", reason="librosa is not installed")

RATE = 16_000
LOW, HIGH = 0.45, 1.2  # kbps; the tiny model has stages of 0.3
NAN = float("nan")


def voice(pitch_hz: np.ndarray, sample_rate_hz: int = RATE) -> np.ndarray:
    """Ten harmonics of a pitch that is given for each sample, that fall with their number."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    harmonics = np.arange(1, 11)[:, None]
    return (0.1 * (np.sin(harmonics * phase) / harmonics).sum(axis=0)).astype(np.float32)


def cents(track: np.ndarray, pitch_hz: np.ndarray | float) -> np.ndarray:
    return 1200 * np.abs(np.log2(track / pitch_hz))


@pytest.mark.parametrize(("pitch_hz", "rate"), [(85.0, 16_000), (211.3, 24_000), (442.0, 16_000)])
def test_a_steady_voice_has_the_pitch_that_it_was_made_with(pitch_hz, rate):
    track = track_pitch(voice(np.full(rate, pitch_hz), rate), rate)
    assert len(track) == 51  # 0 to 1 s
    assert cents(track[3:-3], pitch_hz).max() < 3  # the grid alone would be 10 off


def test_a_glide_is_followed_frame_by_frame():
    """An octave in a second, the centre of frame k at k · 20 ms."""
    time = np.arange(RATE) / RATE
    track = track_pitch(voice(150 * 2**time), RATE)
    expected = 150 * 2 ** (HOP_SECONDS * np.arange(len(track)))
    assert cents(track, expected)[3:-3].max() < 10


def test_only_the_voice_between_noise_is_voiced():
    noise = 0.03 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    track = track_pitch(np.concatenate([noise, voice(np.full(RATE, 200.0)), noise]), RATE)
    is_voiced = ~np.isnan(track)
    assert is_voiced[53:98].all()
    assert not is_voiced[:45].any()
    assert not is_voiced[105:].any()


def test_the_trace_of_noise_is_40_db_below():
    wave = voice(np.full(RATE, 200.0))
    noise = with_trace_of_noise(wave) - wave
    assert 10 * np.log10(np.mean(wave**2) / np.mean(noise**2)) == pytest.approx(40, abs=0.2)
    np.testing.assert_array_equal(with_trace_of_noise(wave), with_trace_of_noise(wave))


def test_figures_are_shares_of_what_they_name():
    original = np.array([100, 100, 100, 100, NAN, NAN, NAN, 200, 200, 200.0])
    decoded = np.array([NAN, 119, 121, 50, NAN, 300, NAN, 200, 202, 198.0])
    figures = pitch_figures([(original[:4], decoded[:4]), (original[4:], decoded[4:])])
    assert figures.voiced_frames == 7
    assert figures.lost == pytest.approx(1 / 7)
    assert figures.invented == pytest.approx(1 / 3)
    assert figures.gross == pytest.approx(2 / 6)  # 121 and 50
    errors = [0, 1200 * np.log2(202 / 200), 1200 * np.log2(200 / 198), 1200 * np.log2(119 / 100)]
    assert figures.fine_cents == pytest.approx((errors[1] + errors[2]) / 2)
    assert figures.contour is None  # no stretch of 100 ms


def test_where_there_is_no_frame_there_is_no_figure():
    silent = np.full(3, NAN)
    for figures in (pitch_figures([(silent, silent)]), pitch_figures([])):
        assert (figures.voiced_frames, figures.lost, figures.gross) == (0, None, None)
        assert (figures.fine_cents, figures.contour) == (None, None)
    assert pitch_figures([(silent, silent)]).invented == 0


def test_contours_are_compared_by_their_movement():
    """Height does not count, nor a step between stretches; a mirrored contour has -1; halves of
    both kinds cancel.
    """
    rise = 150 * 2 ** np.linspace(0, 0.1, 8)
    apart = np.array([NAN])
    same = (
        np.concatenate([rise, apart, 2 * rise]),
        np.concatenate([1.05 * rise, apart, 1.9 * rise]),
    )
    assert pitch_figures([same]).contour == pytest.approx(1)
    assert pitch_figures([(rise, rise[::-1])]).contour == pytest.approx(-1)
    assert pitch_figures([(rise, rise), (rise, rise[::-1])]).contour == pytest.approx(0, abs=1e-12)
    assert pitch_figures([(rise[:4], rise[:4])]).contour is None  # 80 ms
    broken = np.where(np.arange(8) == 4, rise / 2, rise)  # the octave below is a gross error
    assert pitch_figures([(rise, broken)]).contour is None


def measured(
    pitch_hz: float, *, language: str | None = None, pesq: float | None = 2.0
) -> MeasuredClip:
    """A clip of one pitch, NaN without a voice, that is decoded a twelfth of an octave higher."""
    track = np.full(10, pitch_hz)
    scores = {"pesq_wb": Score(pesq, None if pesq else "no speech"), "estoi": Score(0.5)}
    coded = CodedPitch(
        track=track * 2 ** (1 / 12), scores=Clip(name="clip", bits=600, scores=scores)
    )
    return MeasuredClip(
        name="clip", seconds=0.2, language=language, original=track, noisy=track, coded=(coded,)
    )


def test_recordings_are_grouped_by_pitch_and_sentences_by_language():
    clips = [measured(hz) for hz in (149.9, 150, 230, 230.1, NAN)]
    clips += [
        measured(100, language="Vietnamese", pesq=1.0),
        measured(300, language="Vietnamese", pesq=None),
    ]
    left_out = ("Mandarin (why)",)
    found = PitchFindings(
        subject=Subject(model="m", fingerprint="00", data="d", bitrates_kbps=(2.5,)),
        measured=clips,
        left_out=left_out,
    )
    groups = {group.name: group for group in found.groups()}
    assert {name: group.clips for name, group in groups.items()} == {
        "all recordings": 5,
        "voices below 150 Hz": 1,
        "150 to 230 Hz": 2,
        "above 230 Hz": 1,
        "Vietnamese, synthesised": 2,
    }
    vietnamese = groups["Vietnamese, synthesised"]
    assert vietnamese.floor.fine_cents == 0
    (system,) = vietnamese.systems
    assert system.pitch.fine_cents == pytest.approx(100)
    assert system.kbps == pytest.approx(3)
    assert (system.means["pesq_wb"].mean, system.means["pesq_wb"].failed) == (1, 1)

    text = as_markdown(found)
    assert "\n2.5 kbps:\n\n|  | kbps | voicing lost |" in text
    assert "| Vietnamese, synthesised | 2 | 0 | 0.0 % | - | 0.0 % | 0.0 | - |" in text
    assert (
        "| Vietnamese, synthesised | 3.00 | 0.0 % | - | 0.0 % | 100.0 | - | 1.00 (1 failed) | "
        "0.500 |" in text
    )
    assert "- Left out: Mandarin (why)." in text


def coded_kbps(model: Path, clips: list[Path], bitrate_kbps: float) -> float:
    """Of the whole files that these clips make."""
    codec = Codec.load(model)
    waves = [read_clip(clip, RATE) for clip in clips]
    sizes = [
        len(codec.encode(wave, sample_rate_hz=RATE, bitrate_kbps=bitrate_kbps).to_bytes())
        for wave in waves
    ]
    return 8e-3 * sum(sizes) / (sum(map(len, waves)) / RATE)


def test_a_run_writes_tables_and_figures_without_espeak(tmp_path, tiny_model, capsys, monkeypatch):
    pytest.importorskip("pesq", reason="PESQ is not installed")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    data = write_corpus(tmp_path / "data", [1.0, 1.1, 1.0])
    arguments = ModelArguments(
        data=data,
        out=tmp_path / "runs" / "of.v1",
        model=str(tiny_model),
        bitrates=(LOW, HIGH),
        clips=2,
        workers=1,
    )
    main(arguments)

    found = json.loads((tmp_path / "runs" / "of.v1.json").read_text())
    assert [clip["name"] for clip in found["clips"]] == ["speaker00/clip.wav", "speaker01/clip.wav"]
    assert all(80 < clip["median_hz"] < 260 for clip in found["clips"])  # as they were synthesised
    every = found["groups"][0]
    assert (every["name"], every["clips"]) == ("all recordings", 2)
    assert every["floor"]["fine_cents"] < 5
    assert [system["bitrate_kbps"] for system in every["systems"]] == [LOW, HIGH]
    clips = [data / clip["name"] for clip in found["clips"]]
    for system in every["systems"]:
        assert system["kbps"] == pytest.approx(
            coded_kbps(tiny_model, clips, system["bitrate_kbps"])
        )
    assert every["systems"][1]["pitch"]["lost"] > 0.5  # a tiny model's sound is noise
    assert found["left_out"] == [
        f"{language.name} (espeak-ng is not installed)" for language in LANGUAGES
    ]

    said = capsys.readouterr()
    assert said.out == (tmp_path / "runs" / "of.v1.md").read_text()
    assert "left out: Mandarin (espeak-ng is not installed)" in said.err
    with pytest.raises(
        ConfigError, match=r"of\.v1\.json exists already; choose another name, or give --force"
    ):
        main(arguments)


def test_the_number_of_clips_is_checked(tmp_path):
    with pytest.raises(ConfigError, match="--clips is at least 1, not 0"):
        ModelArguments(data=tmp_path, out=tmp_path / "x", clips=0)


needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed"
)


@needs_espeak
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_a_sentence_is_spoken_in_a_low_and_a_high_voice(language):
    one = Language(name=language.name, voice=language.voice, sentences=language.sentences[:1])
    try:
        (low_name, low), (high_name, high) = spoken(one, RATE)
    except ConfigError as error:
        pytest.skip(str(error))
    assert (low_name, high_name) == (
        f"{language.name} 1, low voice",
        f"{language.name} 1, high voice",
    )
    assert 1 < len(low) / RATE < 10
    assert np.nanmedian(track_pitch(high, RATE)) > 1.2 * np.nanmedian(track_pitch(low, RATE))


@needs_espeak
def test_mandarin_tones_are_spoken():
    """The fourth tone falls; the first does not."""
    tones = Language(name="Mandarin", voice=LANGUAGES[0].voice, sentences=("ma1", "ma4"))
    try:
        waves = [wave for name, wave in spoken(tones, RATE) if "high" in name]
    except ConfigError as error:
        pytest.skip(str(error))
    level, falling = (
        track[~np.isnan(track)] for track in (track_pitch(wave, RATE) for wave in waves)
    )
    assert level[-1] > level[0]
    assert cents(falling.min(), falling.max()) > 150
    assert np.argmax(falling) < np.argmin(falling) == len(falling) - 1


@needs_espeak
def test_a_voice_that_espeak_lacks_is_named():
    unknown = Language(name="None", voice="xx-unknown", sentences=("a",))
    with pytest.raises(ConfigError, match=r"espeak-ng says: .*voice does not exist"):
        list(spoken(unknown, RATE))
