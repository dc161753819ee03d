"""Everything that can be wrong: one clear line, the right exit code, and nothing left behind."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import soundfile
from codec.cli.addresses import udp_socket
from codec.cli.messages import CommandError


def fails(call, arguments: str, code: int, line: str, **names: object) -> None:
    """Run `arguments`, and compare stderr with the pattern `line`."""
    result = call(*(word.format(**names) for word in arguments.split()))
    assert (result.code, result.out) == (code, "")
    assert re.fullmatch("diveq-codec: error: " + line, result.error), result.error


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("encode text.wav out.dvq", r"cannot read text\.wav: not audio in a known format \(.*\)"),
        ("encode empty.wav out.dvq", r"cannot read empty\.wav: it is empty"),
        (
            "encode cut.wav out.dvq",
            r"cut\.wav is truncated: \d+ of \d+ bytes of audio are there; get a whole copy",
        ),
        ("encode nan.wav out.dvq", r"nan\.wav: sample 8000 \(0\.500 s\) is NaN or infinite"),
        ("encode coded.dvq out.dvq", r"cannot read coded\.dvq: not audio in a known format \(.*\)"),
        ("encode missing.wav out.dvq", r"missing\.wav: no such file"),
        ("encode speech.wav no/out.dvq", r"speech\.wav: cannot write .*: there is no folder .*no"),
        (
            "encode speech.wav coded.dvq",
            r"speech\.wav: coded\.dvq exists already; --force replaces it",
        ),
        ("encode speech.wav out.dvq --stages 5", r"tiny has stages 1 to 4, not 5"),
        ("encode speech.wav out.dvq --bitrate 0.2", r"tiny needs at least 0\.3 kbps, not 0\.2"),
        ("encode speech.wav out.dvq --position-bits 1", r"tiny has no SF-DiVeQ stage, .*"),
        ("encode speech.wav out.dvq --device abacus", r"device 'abacus' is not available here: .*"),
        (
            "decode speech.wav out.wav",
            r"speech\.wav: this is not a \.dvq stream: it starts with b'RIF', not b'DVQ'",
        ),
        (
            "decode empty.dvq out.wav",
            r"empty\.dvq: the stream is cut off in the magic bytes: 0 of 3 bytes are there.*",
        ),
        (
            "decode cut.dvq out.wav",
            r"cut\.dvq: packet 1 at 2\.00 s, byte \d+: the stream is cut off .*",
        ),
        ("decode bad.dvq out.wav", r"bad\.dvq: packet \d at \d\.00 s, byte \d+: .*"),
        ("decode coded.dvq no/out.wav", r"coded\.dvq: cannot write .*: there is no folder .*no"),
        (
            "decode coded.dvq speech.wav",
            r"coded\.dvq: speech\.wav exists already; --force replaces it",
        ),
        ("decode coded.dvq out.wav --stages 5", r"coded\.dvq: the stream has 4 stages; .*"),
        (
            "decode coded.dvq out.wav --subtype OPUS",
            r"coded\.dvq: cannot write out\.wav: WAV has no subtype OPUS; .*",
        ),
        (
            "decode coded.dvq out.mp3 --rate 12345",
            r"coded\.dvq: cannot write out\.mp3: MPEG_LAYER_III holds rates of .*12345.*",
        ),
    ],
)
def test_wrong_files_and_wishes(call, coded, tiny, names, arguments, line):
    whole = (coded / "coded.dvq").read_bytes()
    (coded / "text.wav").write_text("These are words.\n" * 100)
    (coded / "empty.wav").touch()
    (coded / "empty.dvq").touch()
    (coded / "cut.wav").write_bytes((coded / "speech.wav").read_bytes()[:20_001])
    (coded / "cut.dvq").write_bytes(whole[:-40])
    (coded / "bad.dvq").write_bytes(whole[:100] + bytes([whole[100] ^ 8]) + whole[101:])
    soundfile.write(
        "nan.wav", np.where(np.arange(16_000) == 8000, np.nan, 0), 16_000, subtype="FLOAT"
    )
    before = names()
    fails(call, arguments + " --model {tiny}", 1, line, tiny=tiny)
    assert names() == before
    assert (coded / "coded.dvq").read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            "decode coded.dvq out.wav --model {space}",
            r"coded\.dvq: the stream was coded with .*, this is space.*",
        ),
        (
            "decode coded.dvq out.wav --model none",
            r"no model file at none, and no model of that name; known: .*",
        ),
        ("decode coded.dvq out.wav --model speech.wav", r"speech\.wav is not a .*model file.*"),
        ("encode speech.wav out.dvq --model .", r"the folder \. holds no model\.safetensors.*"),
    ],
)
def test_wrong_models(call, coded, models, names, arguments, line):
    before = names()
    fails(call, arguments, 1, line, space=models / "space.safetensors")
    assert names() == before


def test_a_stream_of_no_shipped_model(call, coded, monkeypatch, tmp_path_factory):
    empty = tmp_path_factory.mktemp("none")
    monkeypatch.setattr("codec.model_lookup._models_folder", lambda: empty)
    fails(
        call,
        "decode coded.dvq",
        1,
        r"coded\.dvq: no model at hand has the fingerprint [0-9a-f]{12}: name its file by --model "
        r".*",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("encode", "no source is named: give a file, or - for standard input"),
        ("encode .", r"\. is a folder: say with --out-dir where its files go"),
        (
            "encode speech.wav out.wav",
            r"out\.wav is no target, whose name ends in \.dvq; for several sources give .*",
        ),
        ("encode speech.wav out", r"out is no target, .*"),
        ("encode speech.wav sub", r"sub is a folder: give a file name, or --out-dir sub"),
        (
            "encode a.wav b.wav c.wav",
            "3 paths: for several sources give --out-dir; else a source and a target",
        ),
        (
            "encode - --out-dir out",
            "standard input has no name to use in --out-dir: give - and a target alone",
        ),
        ("decode a.dvq b.dvq", r"b\.dvq is no target, whose name ends in \.aif .*"),
        ("decode a.dvq out.wav --format flac", "--format is for targets that are not named: .*"),
        ("decode a.dvq --format doc", "--format doc is unknown; known: aif .*"),
        ("encode a.wav --stages 0", "--stages is a whole number, 1 or more, not '0'"),
        (
            "encode a.wav --bitrate -1",
            "--bitrate is a positive number of kbps, such as 3, not '-1'",
        ),
        (
            "encode a.wav --bitrate 3kbps",
            "--bitrate is a positive number of kbps, such as 3, not '3kbps'",
        ),
        ("encode a.wav --bitrate nan", "--bitrate is a positive number of kbps, .* not 'nan'"),
        ("encode a.wav --jobs 0", "--jobs is a whole number, 1 or more, not '0'"),
        ("encode a.wav --threads many", "--threads is a whole number, 1 or more, not 'many'"),
        (
            "encode a.wav --stages 2 --bitrate 1",
            "--stages and --bitrate are not allowed together: give one",
        ),
        ("decode a.dvq --nonsense", "unrecognized option --nonsense; --help lists the options"),
        ("encode --modle x a.wav b.dvq", "unrecognized option --modle; perhaps you meant --model"),
        ("cut a.dvq --stages 1", "give a source and a target, or --out-dir"),
        (
            "transcode a.wav",
            "transcode is no command; commands: encode, decode, .*; --help describes them",
        ),
        ("", "no command is given; commands: encode, decode, .*; --help describes them"),
        ("decode a.dvq --rate 0", "--rate is original, model, or 1000 to 768000 Hz, not '0'"),
        (
            "decode a.dvq --rate 99999999",
            "--rate is original, model, or 1000 to 768000 Hz, not '99999999'",
        ),
        ("decode a.dvq --rate fast", "--rate is original, model, or 1000 to 768000 Hz, not 'fast'"),
        ("cut a.dvq b.dvq", "say what to cut to: --stages or --bitrate"),
        ("info", r"no file is named: give \.dvq files, folders, or - for standard input"),
        ("verify", r"no file is named: .*"),
    ],
)
def test_usage_that_makes_no_sense(call, folder, names, arguments, line):
    (folder / "sub").mkdir()
    before = names()
    fails(call, arguments, 2, line)
    assert names() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", ""),
        ("encode", "", "--out-dir", "x"),
        ("encode", "speech.wav", "--out-dir", ""),
        ("encode", "speech.wav", ""),
        ("cut", "", "--out-dir", "", "--stages", 1),
        ("info", ""),
        ("verify", "speech.wav", ""),
        ("eval", "speech.wav", ""),
        ("eval", "speech.wav", "speech.wav", "--out", ""),
        ("export", "speech_16khz", ""),
        ("report", "", "page.html"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(call, folder, names, arguments):
    before = names()
    result = call(*arguments)
    assert (result.code, result.out, result.error) == (
        2,
        "",
        "diveq-codec: error: an argument is empty: is a variable of the shell not set?",
    )
    assert names() == before


def test_an_option_without_its_value(call, folder):
    result = call("encode", "a.wav", "--model")
    assert (result.code, result.out) == (2, "")
    assert "--model" in result.err


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_a_folder_that_is_not_ours(call, coded, tiny):
    (coded / "locked").mkdir(mode=0o500)
    fails(
        call, "encode speech.wav locked/out.dvq --model {tiny}", 1, ".*Permission denied", tiny=tiny
    )


def test_the_unexpected_is_one_line_too(call, coded, tiny, monkeypatch, names):
    def stumble(*_arguments, **_options):
        raise RuntimeError("two\nlines")

    before = names()
    monkeypatch.setattr("codec.api.Codec.encode_file", stumble)
    line = r"speech\.wav: unexpected RuntimeError: two lines \(--debug shows where\)"
    fails(call, "encode speech.wav out.dvq --model {tiny}", 1, line, tiny=tiny)
    said = call("encode", "speech.wav", "out.dvq", "--debug", "--model", tiny).err
    assert said.startswith("Traceback (most recent call last):")
    assert "in stumble" in said
    assert names() == before


def test_the_unexpected_outside_of_files(call, folder, monkeypatch):
    def stumble(*_arguments, **_options):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("codec.api.Codec.load", stumble)
    fails(
        call,
        "encode speech.wav",
        1,
        r"unexpected ZeroDivisionError: by zero \(--debug shows where\)",
    )


@pytest.mark.parametrize("verb", ["info", "verify", "cut"])
def test_missing_files_and_empty_folders(call, folder, verb):
    rest = " --out-dir out --stages 1" if verb == "cut" else ""
    missing = r"missing\.dvq: [Nn]o such file.*"
    fails(call, f"{verb} missing.dvq{rest}", 1, missing)
    fails(
        call, f"{verb} .{rest}", 1, r"the folder \. holds no file to work on \(looked for \.dvq\)"
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_is_none(host):
    with pytest.raises(CommandError, match=f"{host}:5004 cannot be used: "):
        udp_socket(host, 5004, listens=True)


@pytest.mark.parametrize("terminal", ["stdin", "stdout"])
def test_terminals_are_refused(call, coded, tiny, monkeypatch, terminal):
    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None: ...

        def flush(self) -> None: ...

    monkeypatch.setattr(f"sys.{terminal}", Terminal())
    if terminal == "stdin":
        fails(
            call,
            "encode - out.dvq --model {tiny}",
            1,
            "standard input is a terminal; .*",
            tiny=tiny,
        )
    else:
        line = (
            r"(speech\.wav|coded\.dvq): binary data is not written to a terminal; redirect it, or "
            r"name a file"
        )
        fails(call, "encode speech.wav - --model {tiny}", 1, line, tiny=tiny)
        fails(call, "decode coded.dvq - --model {tiny}", 1, line, tiny=tiny)
        fails(call, "cut coded.dvq - --stages 1", 1, line)
