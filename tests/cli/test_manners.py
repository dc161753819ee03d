"""Time to help, what is imported, signals, pipes that close, and the progress bar; in processes of
their own.
"""

from __future__ import annotations

import io
import math
import os
import signal
import sys
from importlib import import_module

import pytest
from codec.cli.entry import VERBS

import codec

needs_signals = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no SIGINT to send to one process"
)


def processor_seconds(start, *arguments, **options) -> float:
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = start(*arguments, **options)
    assert (process.communicate()[1], process.returncode) == (b"", 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_instant(start):
    """NumPy alone would add as much as what reads the command line takes: 0.1 s, or the machine is
    slow. All in turn, up to five times, as it may be slower for a while.
    """
    verbs = [(), ("encode",), ("eval",)]
    reader, commands = math.inf, [math.inf] * len(verbs)
    for _ in range(5):
        reader = min(reader, processor_seconds(start, python=("-c", "import tyro")))
        now = [processor_seconds(start, *verb, "--help") for verb in verbs]
        commands = list(map(min, commands, now))
        if max(commands) < 0.2:
            return
    assert max(commands) < 2.2 * reader


@pytest.mark.parametrize(
    "verb", ["encode", "decode", "info", "verify", "cut", "eval", "models", "export"]
)
def test_each_verb_has_help(call, verb):
    result = call(verb, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"usage: diveq-codec {verb}" in result.out
    assert "--debug" in result.out
    assert "None" not in result.out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the full device is of Linux")
@pytest.mark.parametrize("arguments", [("--help",), ("info", "--help")])
def test_help_on_a_full_disk(start, arguments):
    with open("/dev/full", "wb") as full:
        process = start(*arguments, stdout=full)
    said = process.communicate()[1].decode()
    assert (process.returncode, said) == (1, "diveq-codec: error: No space left on device\n")


def test_help_shows_the_first_commands_and_all_verbs(call):
    result = call("--help")
    assert (result.code, result.err) == (0, "")
    lines = [line.strip() for line in result.out.splitlines()]
    assert {
        "$ diveq-codec encode speech.wav out.dvq",
        "$ diveq-codec decode out.dvq speech.wav",
    } <= set(lines)
    for verb in ("encode", "decode", "info", "verify", "cut", "eval", "models"):
        assert any(line.startswith(f"{verb} ") for line in lines)
    assert any(line.startswith("--version ") for line in lines)


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_what_their_help_does(verb):
    described = getattr(import_module(f"codec.cli.{verb}"), verb.capitalize())
    assert described.__doc__.partition("\n")[0] == VERBS[verb]


def test_version(call):
    assert call("--version").out == f"diveq-codec {codec.__version__}\n"


def test_torch_is_imported_only_to_code_audio(run_all, coded):
    commands = [
        ("info", "coded.dvq"),
        ("verify", "coded.dvq"),
        ("cut", "coded.dvq", "out.dvq", "--bitrate", "1"),
        ("models",),
        ("encode", "missing.wav"),
    ]
    runs, said = run_all(*commands)
    assert [run.code for run in runs] == [0, 0, 0, 0, 1], said
    for command, run in zip(commands, runs, strict=True):
        assert "torch" not in run.modules, command


def test_warnings_of_libraries_are_for_developers(start, coded, tiny):
    (coded / "sitecustomize.py").write_text(
        "import atexit, warnings, codec.bitstream as b\n"
        "read = b.read_info\n"
        "def noisy(file):\n    warnings.warn('old API', FutureWarning)\n    return read(file)\n"
        "b.read_info = noisy\n"
    )
    environment = os.environ | {"PYTHONPATH": str(coded)}
    assert start("info", "coded.dvq", env=environment).communicate()[1] == b""
    assert (
        b"FutureWarning: old API"
        in start("info", "coded.dvq", "--debug", env=environment).communicate()[1]
    )


@needs_signals
def test_the_signals_of_a_program_that_calls_us_are_its_own(call, coded, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "codec.cli.info.Info.run", lambda _info: seen.append(signal.getsignal(signal.SIGTERM)) or 0
    )
    before = signal.getsignal(signal.SIGTERM)
    for action in (signal.SIG_DFL, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, action)
        try:
            assert call("info", "coded.dvq").code == 0
            assert signal.getsignal(signal.SIGTERM) is action
        finally:
            signal.signal(signal.SIGTERM, before)
    assert callable(seen[0])
    assert seen[1] is signal.SIG_IGN


@needs_signals
@pytest.mark.parametrize("arguments", [("info", "coded.dvq"), ("--help",)])
def test_a_closed_pipe_ends_it_quietly(start, coded, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(*arguments, stdout=writing)
    os.close(writing)
    assert (process.communicate()[1], process.returncode) == (b"", 141)


CLOSED = (
    "import os, sys; os.close({}); os.execv(sys.executable, [sys.executable, '-m', 'codec.cli', "
    "*sys.argv[1:]])"
)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX shells close standard streams")
@pytest.mark.parametrize(
    ("closed", "arguments", "code", "out", "err"),
    [
        (
            0,
            ("info", "-"),
            1,
            "",
            "error: standard input is closed; redirect a file into it, or name one",
        ),
        (0, ("verify", "coded.dvq"), 0, "coded.dvq: ok", ""),
        (1, ("verify", "coded.dvq"), 0, "", ""),
        (1, ("--version",), 0, "", ""),
        (1, ("--help",), 0, "", ""),
        (
            1,
            ("cut", "coded.dvq", "-", "--stages", "1"),
            1,
            "",
            "error: coded.dvq: standard output is closed; ",
        ),
        (1, ("cut", "coded.dvq", "out.dvq", "--stages", "1"), 0, "", ""),
        (2, ("verify", "coded.dvq"), 0, "coded.dvq: ok", ""),
        (2, ("verify", "missing.dvq"), 1, "", ""),
        (2, ("verify", "--nonsense"), 2, "", ""),
        (2, ("cut", "coded.dvq", "out.dvq", "--stages", "1"), 0, "", ""),
    ],
)
def test_closed_standard_streams(start, coded, closed, arguments, code, out, err):
    process = start(*arguments, python=("-c", CLOSED.format(closed)))
    said_out, said_err = (said.decode().rstrip() for said in process.communicate())
    assert (process.returncode, said_out) == (code, out)
    assert said_err.startswith("diveq-codec: " + err if err else "")
    assert said_err.count("\n") == 0
    if "out.dvq" in arguments:
        with open("out.dvq", "rb") as file:
            assert not codec.verify(file)


def test_a_pipe_closed_under_the_audio(call, coded, tiny, monkeypatch):
    class Closed(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError

    for arguments in (("decode", "coded.dvq", "-"), ("encode", "speech.wav", "-")):
        for module in ("decode", "files"):
            monkeypatch.setattr(f"codec.cli.{module}.binary_stdout", Closed)
        result = call(*arguments, "--model", tiny)
        assert (result.code, result.err) == (141, "")


def on_screen(text: str) -> list[str]:
    """The lines that a terminal shows in the end: a carriage return goes back, and what follows
    writes over.
    """
    lines = []
    for line in text.removesuffix("\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_a_bar_on_a_terminal(call, coded, tiny, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    (coded / "text.wav").write_text("no audio")
    assert call("encode", "speech.wav", "text.wav", "--out-dir", "new", "--model", tiny).code == 1
    said = terminal.getvalue()
    assert "\rencode 0/2 [" in said
    assert f"\rencode 2/2 [{30 * '#'}] 0:0" in said
    assert "\rdiveq-codec: error: cannot read text.wav" in said
    assert on_screen(said)[0].startswith("diveq-codec: error: cannot read text.wav")
    assert on_screen(said)[1].startswith("diveq-codec: 1 file encoded, 1 failed: 3.33 s")
    assert len(on_screen(said)) == 2
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert call("encode", "speech.wav", "--quiet", "--model", tiny).code == 0
    assert terminal.getvalue() == ""


def test_progress_reaches_the_whole_size(folder):
    from codec.cli.files import Meter, open_source

    size = os.path.getsize("speech.wav")
    steps: list[int] = []
    meter = Meter(size, steps.append)
    with open_source("speech.wav", meter) as file:
        file.read(size // 2)
        file.seek(0)  # what is read again does not count again
        file.read(size // 2)
        assert size // 2 <= sum(steps) < size
        file.read()
    meter.finish()
    assert sum(steps) == size
