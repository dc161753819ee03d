"""Which files below a folder are taken for audio."""

from __future__ import annotations

import os
import sys

import pytest

from codec.audio import walk_audio


def test_visible_files_with_audio_suffixes_by_name(tmp_path):
    for folder in ("b", "a", ".hidden", "a/folder.wav"):
        (tmp_path / folder).mkdir()
    for name in (
        "z.wav",
        "Y.FLAC",
        "._z.wav",
        "notes.txt",
        ".hidden/h.wav",
        "b/2.opus",
        "b/1.mp3",
        "a/folder.wav/x.ogg",
    ):
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in walk_audio(tmp_path)]
    assert found == ["Y.FLAC", "z.wav", "a/folder.wav/x.ogg", "b/1.mp3", "b/2.opus"]
    assert list(walk_audio(tmp_path / "nowhere")) == []
    assert [path.name for path in walk_audio(tmp_path / ".hidden")] == ["h.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files and links")
def test_pipes_are_passed_over_and_links_to_files_are_not(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to("nothing")
    assert [path.name for path in walk_audio(tmp_path)] == ["link.wav"]
