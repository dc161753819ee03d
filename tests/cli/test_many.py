"""Many files: trees, collisions, jobs, and files that fail."""

from __future__ import annotations

import os
import shutil

import pytest
import soundfile


@pytest.fixture
def tree(folder, wave):
    """talks/ with audio of three formats at three depths, and what is not for us."""
    for path in ("talks/a.wav", "talks/day 1/b.FLAC", "talks/day 1/late/c.v2.ogg"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            path,
            wave,
            16_000,
            format=None if path.endswith("wav") else path[-4:].lstrip(".").upper(),
        )
    (folder / "talks/notes.txt").write_text("no audio")
    (folder / "talks/._a.wav").write_text("what macOS leaves on other disks")
    (folder / "talks/.trash").mkdir()
    shutil.copy("talks/a.wav", "talks/.trash/a.wav")
    return folder


def test_keeps_the_tree(call, tree, tiny, names):
    before = names()
    result = call(
        "encode", "talks", "speech.wav", "--out-dir", "new/coded", "--jobs", 2, "--model", tiny
    )
    assert result.code == 0
    assert result.error.startswith(
        "diveq-codec: 4 files encoded, 1 passed over: 13.32 s of audio, "
    )
    coded = {"a.dvq", "day 1/b.dvq", "day 1/late/c.v2.dvq", "speech.dvq"}
    assert names() - before == {f"new/coded/{name}" for name in coded}
    assert (
        call("decode", "new", "--out-dir", "heard", "--format", "flac", "--model", tiny).code == 0
    )
    heard = {name for name in names() if name.startswith("heard")}
    assert heard == {f"heard/coded/{name.replace('.dvq', '.flac')}" for name in coded}


def test_finds_all_that_can_be_read_and_counts_the_rest(call, folder, tiny, wave, names):
    (folder / "talks").mkdir()
    formats = {
        "a.aifc": "AIFF",
        "b.SND": "AU",
        "c.voc": "VOC",
        "d.avr": "AVR",
        "e.nist": "NIST",
        "f.paf": "PAF",
    }
    for name, format in formats.items():
        soundfile.write(f"talks/{name}", wave, 16_000, format=format, subtype="PCM_16")
    for name in ("notes.txt", "talk.pdf", "no suffix", ".hidden.txt"):
        (folder / "talks" / name).write_text("no audio")
    result = call("encode", "talks", "--out-dir", "coded", "--model", tiny)
    assert result.code == 0
    assert result.error.startswith(
        "diveq-codec: 6 files encoded, 3 passed over: 19.98 s of audio, "
    )
    assert {name for name in names() if name.startswith("coded")} == {
        f"coded/{name[0]}.dvq" for name in formats
    }


def test_jobs_change_nothing_but_the_time(call, tree, tiny):
    for jobs in (1, 3):
        assert (
            call("encode", "talks", "--out-dir", f"by {jobs}", "--jobs", jobs, "--model", tiny).code
            == 0
        )
    for name in ("a.dvq", "day 1/b.dvq", "day 1/late/c.v2.dvq"):
        assert (tree / "by 1" / name).read_bytes() == (tree / "by 3" / name).read_bytes()


def test_a_bad_file_does_not_stop_the_rest(call, tree, tiny, names):
    (tree / "talks/aa broken.wav").write_bytes(b"RIFF and no more")
    result = call("encode", "missing.wav", "talks", "--out-dir", "coded", "--model", tiny)
    assert result.code == 1
    missing, broken, summary = result.err.splitlines()
    assert missing == "diveq-codec: error: missing.wav: no such file"
    assert broken.startswith(
        "diveq-codec: error: cannot read talks/aa broken.wav: not audio in a known format"
    )
    assert summary.startswith(
        "diveq-codec: 3 files encoded, 2 failed, 1 passed over: 9.99 s of audio, "
    )
    coded = {name for name in names() if name.startswith("coded")}
    assert coded == {"coded/a.dvq", "coded/day 1/b.dvq", "coded/day 1/late/c.v2.dvq"}


def test_counts_even_where_all_fail(call, folder):
    result = call(
        "encode", "x.wav", "y.wav", "--out-dir", "coded"
    )  # no model is needed to see that
    assert result.code == 1
    assert result.err.splitlines()[-1] == "diveq-codec: 0 files encoded, 2 failed"
    assert not (folder / "coded").exists()


def test_existing_targets_fail_one_by_one(call, tree, tiny):
    (tree / "coded").mkdir()
    (tree / "coded/a.dvq").write_bytes(b"precious")
    result = call("encode", "talks", "--out-dir", "coded", "--model", tiny)
    assert result.code == 1
    assert result.err.splitlines()[0].endswith(
        "talks/a.wav: coded/a.dvq exists already; --force replaces it"
    )
    assert (tree / "coded/a.dvq").read_bytes() == b"precious"
    assert (tree / "coded/day 1/b.dvq").exists()


def test_a_collision_is_seen_before_anything_is_written(call, tree, names):
    soundfile.write("talks/a.flac", [0.0] * 100, 16_000)
    before = names()
    result = call("encode", "talks", "--out-dir", "coded")
    assert (result.code, result.error) == (
        1,
        "diveq-codec: error: talks/a.flac and talks/a.wav would both become coded/a.dvq; nothing "
        "is written",
    )
    assert names() == before


def test_the_same_file_twice_is_one_task(call, folder, tiny):
    result = call("encode", "speech.wav", "./speech.wav", "--out-dir", "coded", "--model", tiny)
    assert result.code == 0
    assert "1 file encoded" in result.error


def test_a_wrong_option_is_told_once(call, tree, tiny, names):
    before = names()
    result = call("encode", "talks", "--out-dir", "coded", "--stages", 5, "--model", tiny)
    assert (result.code, result.error) == (1, "diveq-codec: error: tiny has stages 1 to 4, not 5")
    assert names() == before


def test_a_folder_without_audio(call, folder):
    (folder / "empty").mkdir()
    result = call("encode", "empty", "--out-dir", "coded")
    assert result.code == 1
    assert (
        "error: the folder empty holds no file to work on (looked for .8svx .aif .aifc .aiff"
        in result.error
    )


def test_out_dir_that_is_a_file(call, folder):
    result = call("encode", "speech.wav", "--out-dir", "speech.wav")
    assert (result.code, result.error) == (
        1,
        "diveq-codec: error: --out-dir speech.wav is a file, not a folder",
    )


@pytest.mark.parametrize(
    ("set_before", "arguments", "expected"),
    [
        ("8", ("--jobs", 2), "4"),
        ("1", ("--jobs", 2), "1"),
        ("8", ("--jobs", 2, "--threads", 6), "3"),
        ("8", ("--threads", 2), "2"),
        ("8", (), "8"),
    ],
)
def test_jobs_share_the_threads(call, folder, monkeypatch, set_before, arguments, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", set_before)
    call("encode", "missing.wav", *arguments)
    assert os.environ["OMP_NUM_THREADS"] == expected


def test_jobs_share_all_processors_by_default(call, folder, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(12)), raising=False)
    call("encode", "missing.wav", "--jobs", 3)
    assert os.environ["OMP_NUM_THREADS"] == "4"
