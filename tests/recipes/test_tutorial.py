"""The tutorial runs, and what it says is so."""

from __future__ import annotations

import shutil

import pytest
import soundfile

from recipes import tutorial


@pytest.fixture
def samples(tmp_path):
    """The first recording whole, and a second and a half of the others."""
    first, *others = sorted(tutorial.SAMPLES.glob("*.flac"))
    shutil.copy(first, tmp_path)
    for clip in others:
        wave, rate_hz = soundfile.read(clip, dtype="int16")
        soundfile.write(tmp_path / clip.name, wave[: 3 * rate_hz // 2], rate_hz)
    return tmp_path


def test_every_chapter(samples, monkeypatch, capsys):
    monkeypatch.setattr(tutorial, "SAMPLES", samples)
    tutorial.main(tutorial.Arguments(steps=6))
    said = capsys.readouterr().out
    assert [line[0] for line in said.splitlines() if line[1:3] == ". "] == list("123456")
    assert "the same in a batch: True" in said
    assert "decoding 4 stages of either gives the same: True" in said
    assert "verify finds 1 fault" in said
    assert "recovered: silence from" in said
    assert said.count("mel") >= 1
