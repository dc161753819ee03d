"""The validation set is found again in the corpora that it comes from."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import soundfile
import soxr
from real_speech import SAMPLES
from synthesis import synthesize_speech

from codec.errors import ConfigError
from recipes.validation_set import Arguments, describe, main, read_list

EXACT, RESAMPLED = "yourtts-vctk-p347_0001", "yourtts-libritts-121_0001"


def samples_of(name: str) -> np.ndarray:
    return soundfile.read(SAMPLES / f"{name}.flac", dtype="int16")[0]


def test_the_list_describes_the_samples():
    listed = {clip.name: clip for clip in read_list()}
    assert len(listed) == 52
    names = [path.stem for path in SAMPLES.glob("*.flac")]
    assert len(names) == 12
    for name in names:
        clip = listed[name]
        assert clip == describe(
            samples_of(name), name=name, corpus=clip.corpus, speaker=clip.speaker
        )


def test_clips_are_found_exactly_or_resampled(tmp_path, capsys):
    corpus, out = tmp_path / "corpus", tmp_path / "val"
    corpus.mkdir()
    soundfile.write(corpus / "a.wav", samples_of(EXACT), 16_000)
    at_24khz = soxr.resample(samples_of(RESAMPLED) / 32768, 16_000, 24_000)
    soundfile.write(corpus / "b.wav", 0.5 * at_24khz, 24_000)
    soundfile.write(
        corpus / "c.wav", synthesize_speech(len(samples_of(RESAMPLED)) / 16_000), 16_000
    )
    (corpus / "broken.wav").write_bytes(b"RIFF")
    main(Arguments(corpora=(corpus,), out=out))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{EXACT}: exact", f"{RESAMPLED}: the same utterance, resampled"]
    assert lines[-1] == f"2 of 52 clips are in {out}"
    assert "yourtts-vctk-p335_0001: not found; 6.30 s of speaker p335 of VCTK" in lines
    np.testing.assert_array_equal(
        soundfile.read(out / f"{EXACT}.flac", dtype="int16")[0], samples_of(EXACT)
    )
    found, rate = soundfile.read(out / f"{RESAMPLED}.flac", dtype="int16")
    assert rate == 16_000
    error = 2.0 * found - samples_of(
        RESAMPLED
    )  # what lies close to 8 kHz is lost by resampling twice
    assert np.std(error) < 0.1 * np.std(samples_of(RESAMPLED))
    main(Arguments(corpora=(corpus,), out=out))  # goes on: neither is looked for again
    assert capsys.readouterr().out.splitlines()[-1] == f"2 of 52 clips are in {out}"


def test_recordings_that_cannot_be_read_are_passed_over_and_named(tmp_path, capsys):
    corpus, out = tmp_path / "corpus", tmp_path / "val"
    corpus.mkdir()
    samples = samples_of(EXACT)
    nan = np.where(np.arange(len(samples)) == 9000, np.nan, samples / 32768)
    soundfile.write(corpus / "a.wav", nan, 16_000, subtype="FLOAT")
    (corpus / "b.wav").write_bytes(b"RIFF")
    soundfile.write(corpus / "c.wav", samples, 16_000)
    main(Arguments(corpora=(corpus,), out=out))
    said = capsys.readouterr()
    assert f"{EXACT}: exact" in said.out.splitlines()
    first, second = said.err.splitlines()
    assert first.startswith(f"passed over: {corpus / 'a.wav'}: sample 9000")
    assert second.startswith(f"passed over: cannot read {corpus / 'b.wav'}: not audio")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file's name is text")
def test_a_recording_whose_name_is_no_text_is_found(tmp_path, capsys):
    (tmp_path / "corpus").mkdir()
    soundfile.write(tmp_path / "a.wav", samples_of(EXACT), 16_000)
    (tmp_path / "a.wav").rename(tmp_path / "corpus" / "\udcff.wav")
    main(Arguments(corpora=(tmp_path / "corpus",), out=tmp_path / "val"))
    assert f"{EXACT}: exact" in capsys.readouterr().out.splitlines()


def test_a_run_that_is_interrupted_leaves_no_half_of_a_clip(tmp_path, monkeypatch):
    corpus, out = tmp_path / "corpus", tmp_path / "val"
    corpus.mkdir()
    soundfile.write(corpus / "a.wav", samples_of(EXACT), 16_000)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile.SoundFile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        main(Arguments(corpora=(corpus,), out=out))
    assert not list(out.iterdir())


def test_a_corpus_that_is_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="is no folder; name the top folders of corpora"):
        main(Arguments(corpora=(tmp_path / "LibriTTS",), out=tmp_path / "val"))
