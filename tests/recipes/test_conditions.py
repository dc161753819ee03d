"""Conditions: the changed signals have the level, the noise and the tail they should; and a run
tells what it found.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from synthesis import synthesize_speech, write_corpus

from codec import Codec
from codec.errors import AudioError, ConfigError, OutputError
from codec.evaluation.result import Clip, Evaluation, Reference, System
from codec.evaluation.signal import find_sources
from codec.evaluation.summary import summarise
from codec.metrics import Score
from codec.training.validation import read_clip
from recipes.measure.conditions.__main__ import Arguments, main
from recipes.measure.conditions.changed_clips import (
    AS_IT_IS,
    CONDITIONS,
    MUSIC,
    ChangedClip,
    Corpus,
    music_clips,
)
from recipes.measure.conditions.changes import (
    FULL_SCALE,
    add_offset_and_rumble,
    add_talker,
    at_level,
    level_dbfs,
    reverberate,
    with_noise,
    within_full_scale,
)
from recipes.measure.conditions.condition_tables import MeasuredCondition, as_plain, as_tables
from recipes.measure.conditions.music import passage

RATE = 16_000
LOW, HIGH = 0.45, 1.2  # kbps; the tiny model has stages of 0.3


def energy_db(wave: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(np.square(wave, dtype=np.float64))))


def test_pauses_do_not_count_for_the_level():
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    hiss = 1e-3 * np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    assert level_dbfs(tone, RATE) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(np.concatenate([tone, hiss]), RATE) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(tone[:50], RATE) > -10  # shorter than a block
    for silent in (np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        with pytest.raises(AudioError, match="it is silent"):
            level_dbfs(silent, RATE)


@pytest.mark.parametrize("dbfs", [-40, -26, -10])
def test_speech_is_brought_to_a_level_by_a_gain_alone(dbfs):
    speech = synthesize_speech(2.0)
    changed = at_level(speech, RATE, dbfs)
    assert level_dbfs(changed, RATE) == pytest.approx(dbfs, abs=1e-3)
    gain = np.dot(changed, speech) / np.dot(speech, speech)
    np.testing.assert_allclose(changed, gain * speech, rtol=0, atol=1e-6)


def test_what_passes_full_scale_is_turned_down_to_it():
    loud, over_db = within_full_scale(np.array([0.5, -2.0], np.float32))
    np.testing.assert_allclose(loud, [FULL_SCALE / 4, -FULL_SCALE], rtol=1e-6)
    assert over_db == pytest.approx(6.02, abs=0.01)
    quiet, over_db = within_full_scale(np.array([0.5, -0.9], np.float32))
    np.testing.assert_array_equal(quiet, np.array([0.5, -0.9], np.float32))
    assert over_db == 0


@pytest.mark.parametrize("snr_db", [20.0, 10.0])
def test_noise_has_the_energy_that_its_ratio_says(snr_db):
    speech = synthesize_speech(2.0)
    noise = with_noise(speech, RATE, key=7, snr_db=snr_db) - speech
    assert energy_db(speech) - energy_db(noise) == pytest.approx(snr_db, abs=0.01)
    assert abs(np.corrcoef(noise, speech)[0, 1]) < 0.05


def test_the_tail_of_the_room_falls_by_60_db_in_its_time():
    """Of a click: Schroeder's backward integral of the energy behind it, by linear regression from
    -5 to -35 dB.
    """
    click = np.zeros(RATE, np.float32)
    click[0] = 1
    response = reverberate(click, RATE, key=7, seconds=0.5, ratio_db=0.0).astype(np.float64)
    tail = response[100:] ** 2
    decay_db = 10 * np.log10(np.cumsum(tail[::-1])[::-1][: RATE // 2] / tail.sum())
    part = (decay_db < -5) & (decay_db > -35)
    slope_db = np.polyfit(np.flatnonzero(part) / RATE, decay_db[part], 1)[0]
    assert -60 / slope_db == pytest.approx(0.5, rel=0.1)
    # The first sample has the direct sound and one of the tail's.
    assert 10 * np.log10(response[0] ** 2 / np.sum(response[1:] ** 2)) == pytest.approx(0, abs=0.6)


def test_the_second_talker_is_as_loud_as_the_first_and_as_long():
    first, second = (
        synthesize_speech(2.0, seed=1, level=0.02),
        synthesize_speech(1.3, seed=2, level=0.2),
    )
    added = add_talker(first, second, RATE) - first
    assert level_dbfs(added, RATE) == pytest.approx(level_dbfs(first, RATE), abs=0.01)
    gain = np.dot(added[: len(second)], second) / np.dot(second, second)
    np.testing.assert_allclose(
        added, gain * np.concatenate([second, second])[: len(first)], rtol=0, atol=1e-5
    )


def test_offset_and_rumble_are_below_speech():
    added = add_offset_and_rumble(np.zeros(RATE, np.float32), RATE, amount=0.02)
    assert added.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(added)) / RATE
    assert spectrum[0] == pytest.approx(0.02, rel=1e-3)
    assert 2 * spectrum[12] == pytest.approx(0.02, rel=1e-3)
    assert np.delete(spectrum, [0, 12]).max() < 1e-6


def corpus_of(folder: Path, speakers: list[str]) -> Corpus:
    sources = find_sources(write_corpus(folder, [0.5] * len(speakers)))
    return Corpus(sources, speakers, sample_rate_hz=RATE)


def test_the_next_clip_by_somebody_else_is_added(tmp_path):
    corpus = corpus_of(tmp_path / "three", ["ann", "ann", "bob"])
    partners = [corpus.sources.index(corpus.by_another(source)) for source in corpus.sources]
    assert partners == [2, 2, 0]
    alone = corpus_of(tmp_path / "one", ["ann", "ann"])
    with pytest.raises(AudioError, match="all 2 clips are by the speaker 'ann'"):
        alone.by_another(alone.sources[0])


def test_changes_depend_on_the_clip_alone(tmp_path):
    """All but the second talker, of course; and "as it is" changes nothing."""
    many = corpus_of(tmp_path, ["ann", "bob", "eve"])
    few = Corpus(many.sources[1:], ["bob", "eve"], sample_rate_hz=RATE)
    changed = {}
    for condition in CONDITIONS:
        one, other = (
            ChangedClip.of(condition, corpus, many.sources[1]).read() for corpus in (many, few)
        )
        np.testing.assert_array_equal(one.wave, other.wave)
        changed[condition.name] = one.wave[0]
    np.testing.assert_array_equal(changed.pop(AS_IT_IS), many.sources[1].read().wave[0])
    speech = many.wave(many.sources[1])
    assert all(not np.allclose(wave, speech, rtol=0, atol=1e-3) for wave in changed.values())


def test_music_is_tonal_struck_and_the_same_each_time():
    sound = passage(3, RATE)
    assert sound.shape == (10 * RATE,)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(0.1, rel=0.05)
    assert np.abs(sound).max() < 1
    np.testing.assert_array_equal(sound, passage(3, RATE))
    assert abs(np.corrcoef(sound, passage(4, RATE))[0, 1]) < 0.2
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    low = np.sort(power[: 2000 * 10])[::-1]
    assert (
        low[:1000].sum() > 0.8 * low.sum()
    )  # lines, not a continuum: a twentieth of the bins holds most of it
    per_block = np.sort(np.mean(sound.reshape(-1, RATE // 20) ** 2, axis=1))
    assert per_block[-1] > 8 * per_block[0]  # attacks and decays


def test_there_are_as_many_passages_as_clips_up_to_eight():
    assert [clip.name for clip in music_clips(2, sample_rate_hz=RATE)] == ["passage 0", "passage 1"]
    assert len(music_clips(52, sample_rate_hz=RATE)) == 8


def measured(
    condition: str, values: list[float | None], down: tuple[float, ...] = ()
) -> MeasuredCondition:
    """A condition under which clips have these PESQ."""
    clips = tuple(
        Clip(name=f"clip {i}", scores={"pesq_wb": Score(value)}) for i, value in enumerate(values)
    )
    system = System(
        name="m", family="m", clips=clips, means=summarise(clips, ["pesq_wb"]), kbps=3.0
    )
    references = tuple(Reference(name=clip.name, seconds=1.0) for clip in clips)
    evaluation = Evaluation(
        data=condition, metrics=("pesq_wb",), references=references, systems=(system,)
    )
    return MeasuredCondition(condition=condition, evaluation=evaluation, turned_down_db=down)


def test_differences_are_taken_clip_by_clip():
    """A clip without a score in either is left out of the difference, not of the other's mean."""
    as_it_is = measured(AS_IT_IS, [2.0, 3.0, 4.0])
    quiet = measured("at -40 dBFS", [1.9, 3.0, None])
    (differences,) = quiet.differences(as_it_is)
    assert differences["pesq_wb"].mean == pytest.approx((-0.1 + 0.0) / 2)
    assert (differences["pesq_wb"].clips, differences["pesq_wb"].failed) == (2, 1)
    assert as_it_is.differences(as_it_is) == [{}]
    assert measured(MUSIC, [3.0]).differences(as_it_is) == [{}]


def test_tables_have_a_row_for_each_condition():
    found = [
        measured(AS_IT_IS, [2.0, 3.0, 4.0]),
        measured("at -10 dBFS", [1.9, 3.1, 3.7], down=(2.0, 5.0)),
    ]
    lines = as_tables(found, [3.0]).splitlines()
    assert lines[2] == (
        "| condition | turned down to fit full scale | 3 kbps: kbps of files | PESQ-WB | ESTOI |"
    )
    assert lines[4] == "| as it is | - | 3.00 | 3.00 | - |"
    assert lines[5] == "| at -10 dBFS | 2 clips by 3.5 dB | 3.00 | 2.90 (-0.10) | - |"
    less = as_plain(found, [3.0])[1]["systems"][0]["less_as_it_is"]["pesq_wb"]
    assert less["low"] < less["mean"] < less["high"]


def coded_kbps(model: Path, clips: list[Path], bitrate_kbps: float) -> float:
    """Of the whole files that these clips make."""
    codec = Codec.load(model)
    waves = [read_clip(clip, RATE) for clip in clips]
    sizes = [
        len(codec.encode(wave, sample_rate_hz=RATE, bitrate_kbps=bitrate_kbps).to_bytes())
        for wave in waves
    ]
    return 8e-3 * sum(sizes) / (sum(map(len, waves)) / RATE)


def test_a_run_writes_a_table_and_its_figures(tmp_path, tiny_model, capsys):
    pytest.importorskip("pesq", reason="PESQ is not installed")
    data = write_corpus(tmp_path / "data", [1.5, 1.6, 1.5])
    arguments = Arguments(
        data=data,
        out=tmp_path / "runs" / "of.v1",
        model=str(tiny_model),
        bitrates=(LOW, HIGH),
        clips=2,
        speakers="folder",
        workers=1,
    )
    main(arguments)

    found = json.loads((tmp_path / "runs" / "of.v1.json").read_text())
    assert [condition["name"] for condition in found["conditions"]] == [
        *(one.name for one in CONDITIONS),
        MUSIC,
    ]
    for condition in found["conditions"]:
        low, high = condition["systems"]
        assert (low["bitrate_kbps"], high["bitrate_kbps"]) == (LOW, HIGH)
        assert low["kbps"] < high["kbps"]
        names = ["mel_distance", "si_sdr"] + ["pesq_wb", "estoi"] * (condition["name"] != MUSIC)
        assert sorted(low["means"]) == sorted(names)
        assert all(mean["clips"] == 2 for mean in low["means"].values())
        if low["less_as_it_is"]:
            base = found["conditions"][0]["systems"][0]["means"]["pesq_wb"]["mean"]
            assert low["less_as_it_is"]["pesq_wb"]["mean"] == pytest.approx(
                low["means"]["pesq_wb"]["mean"] - base
            )
    clips = [data / name for name in ("speaker00/clip.wav", "speaker01/clip.wav")]
    for system in found["conditions"][0]["systems"]:  # of speech as it is
        expected = coded_kbps(tiny_model, clips, system["bitrate_kbps"])
        assert system["kbps"] == pytest.approx(expected)
    assert (
        len(found["conditions"][3]["turned_down_db"]) == 2
    )  # synthetic speech at -10 dBFS has higher peaks
    text = (tmp_path / "runs" / "of.v1.md").read_text()
    assert capsys.readouterr().out == text
    assert text.count("| noise, 10 dB SNR |") == 2
    assert "| - | - |" in next(
        line for line in text.splitlines() if line.startswith(f"| {MUSIC} |")
    )
    with pytest.raises(OutputError, match=r"of\.v1\.json exists already; --force"):
        main(arguments)


def test_the_number_of_clips_is_checked():
    with pytest.raises(ConfigError, match="--clips is at least 1, not 0"):
        Arguments(data=Path("speech"), out=Path("x"), clips=0)
