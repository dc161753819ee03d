"""Try all that an installation offers: every public name, every verb, and encoding and decoding
from Python.

    python .ci/try_everything.py SPEECH.flac [--absent torch pesq …]

Run it by the interpreter of the environment to be tried, from any folder; it works in a temporary
one. Modules named after --absent must not be installed, so that a check of a small installation is
one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWERS = """{
"format": "diveq-codec listening 1", "evaluation": "", "test": "mushra", "listener": "Ann",
"answers": [{"clip": "a", "ratings": [
    {"system": null, "rating": 100}, {"system": "a codec", "rating": 60}
]}]}"""
VERBS = {
    "encode": ["speech.flac", "speech.dvq", "--bitrate", "3"],
    "decode": ["speech.dvq", "heard.wav"],
    "info": ["speech.dvq"],
    "verify": ["speech.dvq"],
    "cut": ["speech.dvq", "small.dvq", "--stages", "1"],
    "models": [],
    "eval": ["speech.flac", "heard.wav", "--out", "results", "--metrics", "si_sdr,mel_distance"],
    "report": ["results/evaluation.json", "report.html"],
    "answers": ["answers.json"],
    "export": ["speech_16khz", "graphs"],
}
"""Arguments of each verb, in an order in which each finds its files."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path)
    parser.add_argument("--absent", nargs="*", default=[])
    arguments = parser.parse_args()
    speech, started = arguments.speech.resolve(), time.monotonic()
    for module in arguments.absent:
        assert importlib.util.find_spec(module) is None, (
            f"{module} is installed; this shows nothing"
        )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("speech.flac").write_bytes(speech.read_bytes())
        Path("answers.json").write_text(ANSWERS)
        public_names()
        every_verb(defaults="pesq" not in arguments.absent)
        mono_and_stereo()
        os.chdir("/")
    print(f"every name and every verb works, in {time.monotonic() - started:.0f} s")


def public_names() -> None:
    import codec

    for name in codec.__all__:
        getattr(codec, name)
    print(
        f"{len(codec.__all__)} public names, version {codec.__version__}, from "
        f"{Path(codec.__file__).parent}"
    )


def every_verb(*, defaults: bool) -> None:
    from codec.cli.entry import VERBS as KNOWN

    apart = {"send", "receive", "demo"}  # see tests/cli/test_call.py and test_demo.py
    assert set(KNOWN) - apart == set(VERBS), f"tried here are {set(VERBS)}, there are {set(KNOWN)}"
    run("--version")
    for name, arguments in VERBS.items():
        run(name, *arguments)
    if defaults:
        run("eval", "speech.flac", "heard.wav")
        run("report", "results/evaluation.json", "blind.html", "--blind")
    subprocess.run(
        [sys.executable, "-m", "codec", "--version"], check=True, stdout=subprocess.DEVNULL
    )


def run(*arguments: str) -> None:
    """One command, by the script that pip installed."""
    command = [str(Path(sys.executable).with_name("diveq-codec")), *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, (
        f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
    )


def mono_and_stereo() -> None:
    """README's example in Python, on a file of one channel and of two."""
    import numpy as np
    import soundfile

    mono, rate = soundfile.read("speech.flac")
    soundfile.write("stereo.wav", np.stack([mono, mono[::-1]], axis=1), rate)
    example = python_example()
    for file in ("speech.flac", "stereo.wav"):
        Path("speech.dvq").unlink(missing_ok=True)  # the example writes it
        exec(example.replace("speech.wav", file), {})


def python_example() -> str:
    """The first block of Python in README."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    return text.split("```python\n", 1)[1].split("```", 1)[0]


if __name__ == "__main__":
    main()
