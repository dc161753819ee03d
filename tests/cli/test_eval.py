"""`diveq-codec eval`: pairs, folders, models; what it prints, writes and refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pesq
import pytest
import soundfile
from synthesis import synthesize_speech

from codec import absent_metrics, read_evaluation

RATE_HZ = 16_000
FAST = ("--metrics", "si_sdr,mel_distance")


@pytest.fixture
def folders(folder, wave) -> Path:
    """The current folder, with `originals` and `decoded`: a clip, and one that is 100 samples late,
    in a folder.
    """
    for name, clip in (("one", wave), ("deep/two", synthesize_speech(1.5, seed=8))):
        for place, sound in (
            ("originals", clip),
            ("decoded", np.round(np.pad(clip, (100, 0)) * 128) / 128),
        ):
            path = folder / place / f"{name}.{'wav' if place == 'originals' else 'flac'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound, RATE_HZ)
    return folder


def test_two_files(call, folder, wave):
    noisy = wave + 0.005 * np.random.default_rng(0).standard_normal(len(wave)).astype(np.float32)
    soundfile.write("original.wav", wave, RATE_HZ, subtype="FLOAT")
    soundfile.write("decoded.wav", np.pad(noisy, (77, 0)), RATE_HZ, subtype="FLOAT")
    result = call("eval", "original.wav", "decoded.wav")
    said = (
        "left out distillmos, dnsmos_p808, dnsmos_ovrl: they need pip install "
        "'diveq-codec[listeners]'"
    )
    assert (result.code, result.err) == (0, f"diveq-codec: {said}\n" if absent_metrics() else "")
    assert "original.wav: 1 clip, 3.3 s" in result.out
    assert "delay of 77 samples removed" in result.out
    (line,) = (line for line in result.out.splitlines() if "PESQ-WB" in line)
    assert line.split()[-1] == f"{pesq.pesq(RATE_HZ, wave, noisy, 'wb'):.3f}"


def test_folders_as_table_json_and_csv(call, folders, names):
    before = names()
    shown = call("eval", "originals", "decoded", *FAST)
    assert (shown.code, shown.err) == (0, "")
    assert "originals: 2 clips, 4.8 s" in shown.out
    printed = call("eval", "originals", "decoded", *FAST, "--json", "-")
    assert names() == before
    written = call("eval", "originals", "decoded", *FAST, "--json", "x.json", "--csv", "x.csv")
    assert written == shown
    assert Path("x.json").read_text("utf-8") == printed.out
    evaluation = read_evaluation("x.json")
    assert evaluation.metrics == ("si_sdr", "mel_distance")
    (system,) = evaluation.systems
    assert [(clip.name, clip.delay_samples) for clip in system.clips] == [
        ("deep/two.wav", 100),
        ("one.wav", 100),
    ]
    rows = list(csv.DictReader(io.StringIO(Path("x.csv").read_text("utf-8"))))
    assert [float(row["si_sdr"]) for row in rows] == [
        clip.scores["si_sdr"].value for clip in system.clips
    ]
    assert call("eval", "originals", "decoded", *FAST, "--csv", "-").out == Path("x.csv").read_text(
        "utf-8"
    )


def test_several_folders_are_several_systems(call, folders):
    result = call("eval", "originals", "decoded", "originals", *FAST, "--no-align", "--json", "-")
    late, same = json.loads(result.out)["systems"]
    assert (late["name"], same["name"]) == ("decoded", "originals")
    assert [clip["delay_samples"] for clip in late["clips"]] == [0, 0]
    assert same["means"]["si_sdr"]["mean"] == 100 > late["means"]["si_sdr"]["mean"]
    result = call("eval", "originals", "decoded", "./originals/../decoded", *FAST, "--json", "-")
    assert [system["name"] for system in json.loads(result.out)["systems"]] == [
        "decoded",
        "./originals/../decoded",
    ]


def test_a_model_from_whole_files(call, folders, tiny, library):
    result = call(
        "eval",
        "--model",
        tiny,
        "--stages",
        "4,1",
        "originals",
        *FAST,
        "--out",
        "new/results",
        "--jobs",
        "2",
    )
    assert (result.code, result.err) == (0, "")
    evaluation = read_evaluation("new/results/evaluation.json")
    assert [system.name for system in evaluation.systems] == ["tiny, 4 stages", "tiny, 1 stage"]
    for clip, reference in zip(evaluation.systems[1].clips, evaluation.references, strict=True):
        original = soundfile.read(f"originals/{clip.name}", dtype="float32")[0]
        encoded = library.encode(original, sample_rate_hz=RATE_HZ, stages=1)
        assert clip.bits == 8 * len(encoded.to_bytes())
        assert reference.seconds == len(original) / RATE_HZ
        np.testing.assert_array_equal(
            soundfile.read(f"new/results/{reference.audio}", dtype="float32")[0], original
        )
        heard = soundfile.read(f"new/results/{clip.audio}", dtype="float32")[0]
        np.testing.assert_allclose(
            heard, library.decode(encoded).wave[0].clip(-1, 1), atol=1 / 32768
        )
    assert "tiny, 1 stage, " in result.out
    assert " x real time" in result.out


def test_each_broken_file_is_a_line(call, folders):
    Path("originals/empty.wav").touch()
    Path("originals/garbage.flac").write_bytes(b"garbage" * 99)
    soundfile.write("originals/quiet.wav", np.zeros(8000), RATE_HZ)
    soundfile.write("decoded/quiet.wav", np.zeros(8000), RATE_HZ)
    soundfile.write("originals/lost.wav", synthesize_speech(1.0), RATE_HZ)
    soundfile.write("decoded/lost.wav", np.zeros(16_000), RATE_HZ)
    soundfile.write("originals/alone.wav", np.ones(8000), RATE_HZ)
    soundfile.write("decoded/stray.wav", np.ones(8000), RATE_HZ)
    result = call("eval", "originals", "decoded", *FAST, "--json", "x.json")
    assert result.code == 1
    assert [line.removeprefix("diveq-codec: error: ") for line in result.err.splitlines()] == [
        f"{Path('decoded/stray.wav')}: there is no original of this name",
        "alone.wav: decoded holds no decoded alone.wav (of any suffix)",
        f"empty.wav: cannot read {Path('originals/empty.wav')}: it is empty",
        f"garbage.flac: cannot read {Path('originals/garbage.flac')}: not audio in a known format "
        f"(Format not "
        "recognised)",
        "lost.wav: si_sdr: the estimate is silent",
        "quiet.wav: the reference is silent",
    ]
    (system,) = read_evaluation("x.json").systems
    assert (system.means["si_sdr"].clips, system.means["si_sdr"].failed) == (2, 5)
    assert (system.means["mel_distance"].clips, system.means["mel_distance"].failed) == (3, 4)
    assert "5 failed" in result.out


def test_a_metric_of_the_user(call, folders, monkeypatch):
    """Its module lies in the current folder, also for the processes that score."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_metrics.py").write_text(
        "import numpy as np\nfrom codec import Metric\n\n"
        "def loudest(reference, estimate, *, sample_rate_hz):\n"
        "    if len(reference) < 2 * sample_rate_hz:\n        raise ValueError('2 s at least')\n"
        "    return np.abs(estimate).max()\n\n"
        "loud = Metric(loudest, 'Loudest sample', 'FS', higher_is_better=False)\n",
        "utf-8",
    )
    plug_ins = ("--plug-in", "my_metrics:loud,my_metrics:loudest", "--metrics", "si_sdr")
    result = call("eval", "originals", "decoded", *plug_ins, "--json", "-", "--jobs", "2")
    assert result.code == 1
    assert result.error.endswith("deep/two.wav: loud, loudest: ValueError: 2 s at least")
    evaluation = json.loads(result.out)
    assert evaluation["metrics"] == ["si_sdr", "loud", "loudest"]
    assert evaluation["plug_ins"]["loud"] == {
        "title": "Loudest sample",
        "unit": "FS",
        "higher_is_better": False,
        "best": None,
    }
    assert evaluation["plug_ins"]["loudest"] == {
        "title": "loudest",
        "unit": "",
        "higher_is_better": True,
        "best": None,
    }
    expected = np.abs(soundfile.read("decoded/one.flac", dtype="float32")[0]).max()
    assert evaluation["systems"][0]["clips"][1]["scores"]["loud"]["value"] == pytest.approx(
        expected
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give an original and what was decoded of it, or --model"),
        (("originals",), 2, "give an original and what was decoded of it, or --model"),
        (
            ("originals", "decoded", "--model", "tiny"),
            2,
            "with --model there is one file or folder of originals, not 2",
        ),
        (("originals", "decoded", "--stages", "1"), 2, "--stages are those of a --model"),
        (("originals", "decoded", "--bitrates", "1"), 2, "--bitrates are those of a --model"),
        (
            ("originals", "--model", "x", "--bitrates", "1,-3"),
            2,
            "positive numbers with commas between them",
        ),
        (
            ("originals", "--model", "x", "--bitrates", "nan"),
            2,
            "positive numbers with commas between them",
        ),
        (
            ("originals", "--model", "x", "--stages", "1;2"),
            2,
            "numbers with commas between them, such as 1,4,12, not",
        ),
        (("originals", "speech.wav"), 2, "are all files, or all folders"),
        (("-", "speech.wav"), 2, "are files or folders, not standard input"),
        (
            ("originals", "decoded", "--json", "-", "--csv", "-"),
            2,
            "takes --json or --csv, not both",
        ),
        (
            ("originals", "decoded", "--json", "x", "--out", "y"),
            2,
            "--out writes the JSON file already",
        ),
        (
            ("originals", "decoded", "--jobs", "0"),
            2,
            "--jobs is a whole number, 1 or more, not '0'",
        ),
        (
            ("originals", "decoded", "--json", "x", "--csv", "./x"),
            2,
            "the JSON and the CSV would both become ./x: name two files",
        ),
        (
            ("originals", "decoded", "--out", "y", "--csv", "y/evaluation.json"),
            2,
            "the JSON and the CSV would both become y/evaluation.json: name two files",
        ),
        (("originals", "decoded", "--rate", "5"), 1, "1000 to 768000 Hz, not 5"),
        (("originals", "nowhere"), 1, "nowhere: no such file or folder"),
        (
            ("originals", "decoded", "--json", "taken"),
            1,
            "taken exists already; --force replaces it",
        ),
        (("originals", "decoded", "--csv", "no/x.csv"), 1, "there is no folder no"),
        (
            ("originals", "decoded", "--out", "done"),
            1,
            "evaluation.json exists already; --force replaces it",
        ),
        (
            ("originals", "decoded", "--metrics", "mos,stoi"),
            1,
            "unknown metric mos; known: pesq_wb, ",
        ),
        (
            ("originals", "decoded", "--plug-in", "nothing"),
            1,
            "is named as module:name, not 'nothing'",
        ),
        (
            ("originals", "decoded", "--plug-in", "nothing:x"),
            1,
            "there is no metric nothing:x: No module named",
        ),
        (
            ("originals", "decoded", "--plug-in", "math:sine"),
            1,
            "there is no metric math:sine: module 'math' has no",
        ),
        (
            ("originals", "decoded", "--plug-in", "math:pi"),
            1,
            "math:pi is no metric and no function, but float",
        ),
    ],
)
def test_misuse_is_a_line(call, folders, arguments, code, message, names, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("taken").touch()
    Path("done").mkdir()
    Path("done/evaluation.json").touch()
    before = names()
    result = call("eval", *arguments)
    assert result.code == code
    assert message in result.error
    assert (result.out, names()) == ("", before)


@pytest.mark.skipif(os.name != "posix", reason="there is no /dev/null")
def test_devices_are_written_to(call, folders):
    result = call("eval", "originals", "decoded", *FAST, "--json", "/dev/null", "--quiet")
    assert (result.code, result.err) == (0, "")


def test_existing_files_are_replaced_by_force(call, folders):
    for _ in range(2):
        assert call("eval", "originals", "decoded", *FAST, "--out", "out", "--force").code == 0
    assert len(read_evaluation("out/evaluation.json").references) == 2


def test_packages_that_are_missing_are_named_at_once(call, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "pystoi", None)
    result = call("eval", "originals", "decoded")
    assert result.code == 1
    assert result.error.endswith(
        "this metric needs the package pystoi: pip install 'diveq-codec[eval]'"
    )


def test_two_files_need_no_torch(start, folders):
    process = start(
        "eval", "originals", "decoded", *FAST, python=("-X", "importtime", "-m", "codec.cli")
    )
    table, imports = process.communicate()
    assert process.returncode == 0
    assert b"SI-SDR" in table
    assert b"torch" not in {line.rpartition(b"|")[2].strip() for line in imports.splitlines()}


def test_a_bar_on_a_terminal(call, folders, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for quiet in ((), ("--quiet",)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert call("eval", "originals", "decoded", *FAST, *quiet).code == 0
        said = terminal.getvalue()
        assert ("eval 0/2" in said, "eval 2/2" in said) == (not quiet, not quiet)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_lose_no_result(call, folders):
    os.rename("originals/one.wav", "originals/bad\udcff \u00fc.wav")
    os.rename("decoded/one.flac", "decoded/bad\udcff \u00fc.flac")
    assert (
        call("eval", "originals", "decoded", *FAST, "--out", "result", "--csv", "result.csv").code
        == 0
    )
    assert any(
        "bad\udcff \u00fc" in clip.name
        for clip in read_evaluation("result/evaluation.json").systems[0].clips
    )
    assert b"bad\xff \xc3\xbc" in Path("result.csv").read_bytes()
    ways = {"page.html": (), "linked.html": ("--audio", "linked"), "blind.html": ("--blind",)}
    for name, way in ways.items():
        assert call("report", "result/evaluation.json", name, *way).code == 0
    assert "bad\\udcff \u00fc" in Path("page.html").read_text("utf-8")


def test_names_in_the_csv_are_no_formulas(call, folders):
    os.rename("originals/one.wav", "originals/=HYPERLINK(1).wav")
    os.rename("decoded/one.flac", "decoded/=HYPERLINK(1).flac")
    assert call("eval", "originals", "decoded", *FAST, "--csv", "result.csv").code == 0
    rows = list(csv.DictReader(io.StringIO(Path("result.csv").read_text("utf-8"))))
    assert "'=HYPERLINK(1)" in {row["clip"].removesuffix(".wav") for row in rows}


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_json_is_json_in_any_encoding(start, folders, encoding):
    os.rename("originals/one.wav", "originals/\u00fc \U0001f600.wav")
    os.rename("decoded/one.flac", "decoded/\u00fc \U0001f600.flac")
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    out, said = start(
        "eval", "originals", "decoded", *FAST, "--json", "-", env=environment
    ).communicate()
    assert said == b""
    assert any(
        "\u00fc \U0001f600" in reference["name"] for reference in json.loads(out)["references"]
    )


def test_two_clips_have_no_interval(call, folders):
    shown = call("eval", "originals", "decoded", *FAST).out
    assert "originals: 2 clips" in shown
    assert "[" not in shown


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT to send to one process")
def test_an_interrupt_ends_the_scoring(start, folders):
    Path("slow.py").write_text(
        "import pathlib, time\n\ndef slow(reference, estimate, *, sample_rate_hz):\n"
        "    pathlib.Path('begun').touch()\n    time.sleep(1)\n    return 0.0\n",
        "utf-8",
    )
    for number in range(40):
        soundfile.write(f"originals/{number}.wav", np.ones(160), RATE_HZ)
        soundfile.write(f"decoded/{number}.wav", np.ones(160), RATE_HZ)
    process = start("eval", "originals", "decoded", "--plug-in", "slow:slow", *FAST, "--jobs", "2")
    deadline = time.monotonic() + 30
    while not Path("begun").exists():
        assert time.monotonic() < deadline, "nothing is scored"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=12)
    assert (process.returncode, out, said) == (130, b"", b"diveq-codec: interrupted\n")
