"""--skip-existing: an interrupted batch goes on, alone or beside other runs, and says what it found
done.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import codec
from codec.files.output import atomic_output, is_being_written, remove_stale_part
from codec.training.data.manifest import build_manifest


@pytest.fixture
def clips(folder, wave) -> Path:
    """Twelve recordings below `talks`."""
    for number in range(12):
        place = folder / "talks" / f"day {number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{number}.wav", wave[: 8000 + 400 * number], 16_000)
    return folder


def encode(call, model, *more):
    return call("encode", "talks", "--out-dir", "coded", "--model", model, *more)


def streams(folder: str = "coded") -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*.dvq")}


def test_done_files_are_counted_and_left_alone(call, clips, tiny):
    assert encode(call, tiny).code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("coded").rglob("*.dvq")}
    missing = [Path("coded/day 1/4.dvq"), Path("coded/day 2/5.dvq")]
    for path in missing:
        path.unlink()
    result = encode(call, tiny, "--skip-existing")
    assert result.code == 0
    assert result.error.startswith("diveq-codec: 2 files encoded, 10 done before: ")
    after = {path: path.stat().st_mtime_ns for path in Path("coded").rglob("*.dvq")}
    assert {path for path in after if after[path] != before[path]} == set(missing)
    assert (
        encode(call, tiny, "--skip-existing").error
        == "diveq-codec: 0 files encoded, 12 done before"
    )


@pytest.mark.parametrize("fault", ["cut", "flipped", "another model", "empty"])
def test_what_is_not_whole_or_of_another_model_is_not_done(call, clips, models, tiny, fault):
    assert encode(call, tiny).code == 0
    whole = streams()
    target = Path("coded/day 0/0.dvq")
    data = target.read_bytes()
    if fault == "another model":
        target.unlink()
        assert (
            call(
                "encode", "talks/day 0/0.wav", target, "--model", models / "space.safetensors"
            ).code
            == 0
        )
    else:
        faulty = {
            "cut": data[:-9],
            "flipped": data[:60] + bytes([data[60] ^ 1]) + data[61:],
            "empty": b"",
        }
        target.write_bytes(faulty[fault])
    result = encode(call, tiny, "--skip-existing")
    assert result.code == 1
    assert "0.dvq exists already, damaged or made otherwise; --force" in result.err.splitlines()[0]
    assert result.err.splitlines()[1] == "diveq-codec: 0 files encoded, 11 done before, 1 failed"
    result = encode(call, tiny, "--skip-existing", "--force")
    assert result.error.startswith("diveq-codec: 1 file encoded, 11 done before: ")
    assert streams() == whole


def test_decode_and_cut_go_on_too(call, clips, tiny):
    assert encode(call, tiny).code == 0
    for arguments, made in (
        (("decode", "coded", "--out-dir", "heard", "--model", tiny), "heard/day 0/0.wav"),
        (
            ("decode", "coded", "--out-dir", "slow", "--rate", "8000", "--model", tiny),
            "slow/day 0/0.wav",
        ),
        (("cut", "coded", "--out-dir", "small", "--stages", "2"), "small/day 0/0.dvq"),
    ):
        assert call(*arguments).code == 0
        Path(made).unlink()
        result = call(*arguments, "--skip-existing")
        assert (result.code, "1 file" in result.error, "11 done before" in result.error) == (
            0,
            True,
            True,
        )
    Path("heard/day 0/0.wav").write_bytes(Path("heard/day 0/0.wav").read_bytes()[:-2])
    result = call("decode", "coded", "--out-dir", "heard", "--model", tiny, "--skip-existing")
    assert (result.code, "11 done before, 1 failed" in result.err) == (1, True)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_after_sigkill(start, call, clips, tiny, names):
    arguments = (
        "encode",
        "talks",
        "--out-dir",
        "coded",
        "--model",
        tiny,
        "--backend",
        "onnx",
        "--jobs",
        "2",
    )
    soundfile.write("talks/day 0/long.wav", np.zeros(300 * 16_000, np.int16), 16_000)
    process = start(*arguments)
    while not list(Path("coded").rglob(".*.part")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(Path("coded").rglob(".*.part"))  # the leftover
    result = call(*arguments, "--skip-existing")
    assert result.code == 0
    assert len(streams()) == 13
    assert not codec.verify("coded/day 0/long.dvq")
    assert {Path(name).suffix for name in names() if name.startswith("coded")} == {".dvq"}


def test_two_runs_share_one_tree(start, clips, tiny, names):
    arguments = (
        "encode",
        "talks",
        "--out-dir",
        "coded",
        "--model",
        tiny,
        "--backend",
        "onnx",
        "--skip-existing",
    )
    processes = [start(*arguments) for _ in range(2)]
    said = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "failed" not in "".join(said)
    assert sum(int(text.split()[1]) for text in said) == 12  # each file was made once
    assert {Path(name).suffix for name in names() if name.startswith("coded")} == {".dvq"}


def test_a_file_that_another_run_writes_is_waited_for(call, clips, tiny):
    """It is done when that run has finished it, and made here when that run is killed."""
    assert encode(call, tiny).code == 0
    for is_finished in (True, False):
        target = Path("coded/day 0/0.dvq").absolute()
        data = target.read_bytes()
        target.unlink()
        begun = threading.Event()

        def another_run(target=target, data=data, is_finished=is_finished, begun=begun) -> None:
            try:
                with atomic_output(target) as file:
                    begun.set()
                    time.sleep(0.6)
                    if not is_finished:
                        raise InterruptedError
                    file.write(data)
            except InterruptedError:
                pass

        thread = threading.Thread(target=another_run)
        thread.start()
        begun.wait()
        result = encode(call, tiny, "--skip-existing")
        thread.join()
        made = 0 if is_finished else 1
        assert result.code == 0
        assert f"{made} file{'s' * (made != 1)} encoded, {12 - made} done before" in result.error
        assert target.read_bytes() == data


def test_another_run_ends_between_two_looks(call, clips, tiny, monkeypatch):
    """The target is missing at the first look, and there when it is looked for once more."""
    assert encode(call, tiny).code == 0
    before = streams()
    target = Path("coded/day 0/0.dvq")
    target.unlink()

    def ends_now(path: str) -> bool:
        if Path(path) == target:
            target.write_bytes(before[str(target)])
        return is_being_written(path)

    monkeypatch.setattr("codec.cli.batch.is_being_written", ends_now)
    result = encode(call, tiny, "--skip-existing")
    assert (result.code, result.error) == (0, "diveq-codec: 0 files encoded, 12 done before")
    assert streams() == before


def test_only_leftovers_are_removed(tmp_path):
    target = tmp_path / "a.dvq"
    with atomic_output(target) as file:
        file.write(b"x")
        (part,) = tmp_path.glob(".*.part")
        assert is_being_written(target)
        remove_stale_part(target)
        assert part.exists()
        with atomic_output(target, overwrite=True) as other:  # has a file of its own
            other.write(b"y")
            assert len(list(tmp_path.glob(".*.part"))) == 2
        target.unlink()
    assert target.read_bytes() == b"x"
    part.write_bytes(b"left by a killed process")
    assert not is_being_written(target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dvq"]
    fcntl = pytest.importorskip("fcntl")
    with open(part, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_being_written(target)


def test_folders_that_cannot_be_read_are_reported(call, clips, tiny, monkeypatch):
    """As root may read any, the system's answer is played here."""
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("day 1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    result = encode(call, tiny)
    assert result.code == 1
    assert result.err.splitlines()[0] == "diveq-codec: error: talks/day 1: Permission denied"
    assert result.err.splitlines()[1].startswith("diveq-codec: 8 files encoded, 1 failed: ")
    assert call("verify", "coded").out.count(": ok\n") == 8


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pipes in folders")
def test_pipes_and_sockets_in_folders_are_not_waited_for(call, clips, tiny):
    for name in ("talks/a.wav", "talks/b.dvq", "talks/day 0/c.flac"):
        os.mkfifo(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("talks/d.wav")
    result = encode(call, tiny)
    assert (result.code, "12 files encoded, 4 passed over" in result.error) == (0, True)
    os.mkfifo("coded/e.dvq")
    assert call("verify", "coded").out.count(": ok\n") == 12
    scored = call("eval", "talks", "talks", "--metrics", "si_sdr", "--json", "-")
    assert (scored.code, scored.out.count('"delay_samples"')) == (0, 12)
    assert len(build_manifest("talks")[0].clips) == 12


@pytest.mark.skipif(os.name != "posix", reason="Windows has no pipes in folders")
def test_no_pipe_is_waited_for_as_a_model(call, coded, monkeypatch):
    os.mkfifo("pipe.safetensors")
    result = call("models", "pipe.safetensors")
    assert (result.code, result.error) == (
        1,
        "diveq-codec: error: pipe.safetensors is not a readable model file: it is a pipe or a "
        "device",
    )
    monkeypatch.setenv("DIVEQ_MODELS", str(coded))
    assert call("models").code == 0
    result = call("encode", "speech.wav", "x.dvq", "--model", "pipe")
    assert (result.code, "pipe" in result.error) == (1, True)


def test_the_file_of_the_name_dash(call, clips, tiny):
    Path("-").write_bytes(Path("speech.wav").read_bytes())
    assert call("encode", "./-", "--out-dir", "dash", "--model", tiny).code == 0
    assert Path("dash/-.dvq").exists()
    Path("coded").mkdir()
    os.rename("dash/-.dvq", "coded/-.dvq")
    assert "coded/-.dvq: ok" in call("verify", "coded").out


EVIL = "x.dvq: ok\nevil\x1b[31m\u202e\x85.dvq"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_no_name_forges_a_line_or_reaches_the_terminal(call, coded, coded_bytes, tiny):
    Path(EVIL).write_bytes(coded_bytes)
    Path(EVIL + "2.dvq").write_bytes(coded_bytes[:-5])
    Path("bad\udcff.dvq").write_bytes(coded_bytes)
    shown = "x.dvq: ok\\nevil\\x1b[31m\\u202e\\x85.dvq"
    said = []
    for arguments in (
        ("verify", "."),
        ("info", EVIL, "bad\udcff.dvq"),
        ("decode", EVIL, "nothing\x1b\n.doc"),
        ("decode", EVIL + "2.dvq", "out.wav", "--recover", "--model", tiny),
        ("encode", EVIL, "x.dvq", "--model", tiny),
        ("cut", EVIL, "y.dvq", "--stages", "1"),
        ("models", EVIL),
    ):
        result = call(*arguments)
        said.append(result.out + result.err)
        assert all(character.isprintable() for character in said[-1].replace("\n", "")), arguments
    assert f"{shown}: ok\n" in said[0]
    assert "bad\\udcff.dvq: ok\n" in said[0]
    assert "\nevil" not in "".join(said)
