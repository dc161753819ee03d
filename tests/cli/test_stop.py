"""Stop means stop: the first signal ends a command within a second, whatever it does, and nothing
stays.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.bitstream import StreamWriter

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no signals to send to one process"
)

WITHIN_SECONDS = 1.0
ENDS = {
    signal.SIGTERM: (143, b"diveq-codec: terminated\n"),
    signal.SIGINT: (130, b"diveq-codec: interrupted\n"),
}


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 300  # a busy machine takes long to begin
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "the command has not begun"
        time.sleep(0.02)


def processor_seconds(process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_until(condition) -> float:
    """Seconds on a clock that stands still while other programs have the processor: the time that
    this process has had it, asking again and again.
    """
    start, deadline = time.process_time(), time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
    return time.process_time() - start


def stop(process, number) -> tuple[int, bytes]:
    """Send the signal twice, as timeout(1) does; returns the exit code and what was said."""
    process.send_signal(number)
    process.send_signal(number)
    seconds = seconds_until(lambda: process.poll() is not None)
    said = process.stderr.read()  # to its end: no child holds it open
    assert seconds < WITHIN_SECONDS, f"it took {seconds:.1f} s"
    return process.returncode, said


@pytest.fixture
def long_stream(folder, library) -> Path:
    """Less than 64 KiB, which is read at once, and half an hour of audio."""
    second = library.encode(np.zeros(16_000), sample_rate_hz=16_000, stages=1)
    with open("long.dvq", "wb") as file:
        writer = StreamWriter(file, second.header)
        for _ in range(1600):
            writer.write(second.codes)
        writer.close(samples=1600 * 16_000)
    assert os.path.getsize("long.dvq") < 64 * 1024
    return folder / "long.dvq"


@pytest.mark.parametrize(
    ("number", "backend"), [(signal.SIGTERM, "torch"), (signal.SIGINT, "onnx")]
)
def test_a_small_file_that_decodes_long(start, long_stream, tiny, names, number, backend):
    before = names()
    arguments = ("decode", "long.dvq", "long.w64", "--rate", "768000", "--max-hours", "24")
    process = start(*arguments, "--model", tiny, "--backend", backend)
    wait_for(lambda: any(os.path.getsize(part) for part in Path().glob(".*.part")), process)
    assert stop(process, number) == ENDS[number]
    assert names() == before


def test_a_long_recording(start, folder, tiny, names):
    soundfile.write("long.wav", np.zeros(3600 * 16_000, np.int16), 16_000)
    before = names()
    process = start("encode", "long.wav", "long.dvq", "--model", tiny, "--backend", "torch")
    wait_for(lambda: any(os.path.getsize(part) for part in Path().glob(".*.part")), process)
    assert stop(process, signal.SIGINT) == ENDS[signal.SIGINT]
    assert names() == before


def test_decoding_into_a_pipe(start, long_stream, tiny, names, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    environment = os.environ | {"TMPDIR": str(scratch)}
    process = start(
        "decode",
        "long.dvq",
        "-",
        "--rate",
        "768000",
        "--model",
        tiny,
        "--backend",
        "onnx",
        "--max-hours",
        "24",
        env=environment,
    )
    wait_for(lambda: any(path.stat().st_size for path in scratch.iterdir()), process)
    assert stop(process, signal.SIGTERM) == ENDS[signal.SIGTERM]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (("encode", "fifo", "out.dvq"), signal.SIGTERM),
        (("encode", "speech.wav", "fifo"), signal.SIGINT),
        (("encode", "-", "out.dvq"), signal.SIGINT),
        (("decode", "fifo", "out.wav"), signal.SIGINT),
        (("info", "fifo"), signal.SIGTERM),
        (("verify", "-"), signal.SIGINT),
        (("cut", "fifo", "out.dvq", "--stages", "1"), signal.SIGTERM),
        (("report", "fifo", "out.html"), signal.SIGINT),
    ],
)
def test_pipes_that_nobody_serves(start, folder, tiny, names, arguments, number):
    os.mkfifo("fifo")
    before = names()
    model = ("--model", tiny, "--backend", "onnx") if arguments[0] in ("encode", "decode") else ()
    python = ("-c", "print(flush=True); from codec.cli import main; main()")
    process = start(*arguments, *model, python=python, stdin=subprocess.PIPE)
    assert process.stdout.read(1) == b"\n"
    wait_for(lambda: _sleeps(process), process)
    assert stop(process, number) == ENDS[number]
    assert names() == before


def _sleeps(process) -> bool:
    """Whether the command handles signals, and all its threads wait and have done so for a
    while.
    """
    caught = Path(f"/proc/{process.pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    if not int(caught, 16) >> (signal.SIGTERM - 1) & 1:
        return False
    for _ in range(10):
        threads = Path(f"/proc/{process.pid}/task").glob("*/stat")
        if any(thread.read_text().rpartition(")")[2].split()[0] != "S" for thread in threads):
            return False
        time.sleep(0.03)
    return processor_seconds(process) > 0.1


@pytest.mark.parametrize("verb", ["verify", "info"])
def test_a_search_through_damage(start, coded, coded_bytes, names, verb):
    noise = np.random.default_rng(0).bytes(20_000_000)
    Path("noise.dvq").write_bytes(coded_bytes[:100] + noise)
    before = names()
    process = start(verb, "noise.dvq")
    wait_for(lambda: processor_seconds(process) > 0.4, process)
    assert stop(process, signal.SIGTERM) == ENDS[signal.SIGTERM]
    assert names() == before


@pytest.mark.parametrize("number", ENDS)
def test_nobody_reads_what_is_said(start, folder, number):
    """A full pipe for both streams: the command cannot even say that it ends, and a second signal
    comes while it tries to.
    """
    reading, writing = os.pipe()
    os.write(writing, bytes(60 * 1024))  # of the 64 KiB that a pipe holds
    for file in range(200):
        Path(f"{file}.dvq").touch()
    process = start("verify", ".", stdout=writing, stderr=writing)
    os.close(writing)
    deadline = time.monotonic() + 300  # a busy machine takes long to begin
    while not _sleeps(process):
        assert time.monotonic() < deadline
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)
    assert seconds_until(lambda: process.poll() is not None) < WITHIN_SECONDS
    assert process.returncode == ENDS[number][0]
    os.close(reading)


SLOW_METRIC = """
import pathlib, time

def slow(reference, estimate, *, sample_rate_hz):
    pathlib.Path("begun").touch()
    time.sleep(30)
    return 0.0
"""


@pytest.mark.parametrize(("jobs", "number"), [("1", signal.SIGTERM), ("2", signal.SIGINT)])
def test_scoring(start, folder, wave, names, jobs, number):
    (folder / "slow.py").write_text(SLOW_METRIC)
    for system in ("originals", "decoded"):
        (folder / system).mkdir()
        for clip in range(4):
            soundfile.write(f"{system}/{clip}.wav", wave, 16_000)
    before = names()
    arguments = ("eval", "originals", "decoded", "--metrics", "si_sdr", "--plug-in", "slow:slow")
    process = start(
        *arguments,
        "--jobs",
        jobs,
        "--out",
        "result",
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    wait_for(Path("begun").exists, process)
    assert stop(process, number) == ENDS[number]
    assert {name for name in names() - before if not name.startswith("result")} == {"begun"}
    assert "result/evaluation.json" not in names()


def test_scoring_processes_end_with_a_killed_parent(start, folder, wave):
    (folder / "slow.py").write_text(SLOW_METRIC)
    for system in ("originals", "decoded"):
        (folder / system).mkdir()
        for clip in range(4):
            soundfile.write(f"{system}/{clip}.wav", wave, 16_000)
    arguments = (
        "eval",
        "originals",
        "decoded",
        "--metrics",
        "si_sdr",
        "--plug-in",
        "slow:slow",
        "--jobs",
        "2",
    )
    process = start(*arguments)
    wait_for(Path("begun").exists, process)
    process.kill()
    process.wait()
    os.set_blocking(process.stderr.fileno(), False)
    # At its end is a pipe that the last child has closed.
    assert seconds_until(lambda: process.stderr.read() == b"") < 5


def test_while_arguments_are_read(call, coded, monkeypatch):
    monkeypatch.setattr("codec.cli.entry._parse", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    result = call("info", "coded.dvq")
    assert (result.code, result.error) == (130, "diveq-codec: interrupted")


INTERRUPTED_IMPORT = """
import signal, sys
from importlib.abc import MetaPathFinder

class Interrupts(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == {name!r}:
            sys.meta_path.remove(self)
            for _ in range({signals}):
                signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from codec.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(("name", "signals"), [("codec.cli.entry", 1), ("tyro", 2)])
def test_while_the_command_is_imported(start, coded, name, signals):
    program = INTERRUPTED_IMPORT.format(name=name, signals=signals)
    process = start("info", "coded.dvq", python=("-c", program))
    said = process.communicate()[1]
    assert (process.returncode, said) == ENDS[signal.SIGINT]


def test_in_a_program_of_ones_own(call, coded, monkeypatch):
    """A command that is called with arguments ends by an exit code, not the process."""
    from codec.cli.info import Info

    monkeypatch.setattr(
        Info, "run", lambda _info: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(5)
    )
    before = signal.getsignal(signal.SIGTERM)
    result = call("info", "coded.dvq")
    assert (result.code, result.error) == (143, "diveq-codec: terminated")
    assert signal.getsignal(signal.SIGTERM) == before


def test_ignored_signals_stay_ignored(start, folder, tiny):
    """As in the background of a shell script, or under nohup."""
    ignoring = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from codec.cli import main; "
        "main()"
    )
    arguments = ("encode", "-", "out.dvq", "--model", tiny, "--backend", "onnx")
    process = start(*arguments, python=("-c", ignoring), stdin=subprocess.PIPE)
    wait_for(lambda: list(Path().glob(".*.part")), process)
    process.send_signal(signal.SIGINT)
    process.communicate(Path("speech.wav").read_bytes())
    assert process.returncode == 0
    assert Path("out.dvq").stat().st_size > 100


def test_no_recording_waits_for_a_reader(call, folder):
    """A pipe is opened when all is received: after Ctrl-C, which was the last one to be heard."""
    os.mkfifo("fifo")
    result = call("receive", "5004", "fifo")
    assert (result.code, result.error) == (
        1,
        "diveq-codec: error: fifo is a pipe: give a sound file, or - > fifo",
    )
