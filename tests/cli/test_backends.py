"""--backend: what it computes, what it imports, and that all verbs work where PyTorch is not
installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from codec.cli.entry import VERBS

HIDING = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
hide = lambda name, *rest: None if name.partition(".")[0] in {hidden} else find(name, *rest)
PathFinder.find_spec = staticmethod(hide)  # some call it of an instance
"""
ONLY_FOR_DEVELOPERS = {"jaxtyping", "beartype", "hypothesis", "librosa"}


@pytest.fixture
def without(tmp_path_factory):
    """An environment where some modules cannot be imported."""

    def without(*modules: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("site")
        (folder / "sitecustomize.py").write_text(
            HIDING.format(hidden=ONLY_FOR_DEVELOPERS | set(modules))
        )
        return os.environ | {"PYTHONPATH": str(folder)}

    return without


UNWANTED = {
    "onnxruntime": {"torch", "jaxtyping", "onnx", "rich"},
    "torch": {"onnxruntime", "torch._dynamo", "sympy", "rich"},  # the middle two take seconds
}


def check_imports(modules: set[str], needed: str) -> None:
    """Only what computes is imported."""
    assert needed in modules
    assert not UNWANTED[needed] & modules


@pytest.mark.parametrize("hidden", [("torch",), ()])
def test_all_verbs_work_without_what_few_have(
    run_all, coded, tiny, library, coded_bytes, without, hidden
):
    """Where torch is not installed; and where it is, alone."""
    environment = without(*hidden)
    rating = {"clip": "a", "ratings": [{"system": None, "rating": 100}]}
    facts = {
        "format": "diveq-codec listening 1",
        "evaluation": "",
        "test": "mushra",
        "answers": [rating],
    }
    (coded / "answers.json").write_text(json.dumps(facts))
    commands = (
        ("encode", "speech.wav", "out.dvq", "--model", tiny, "--quiet"),
        ("decode", "out.dvq", "heard.wav", "--model", tiny, "--subtype", "FLOAT", "--quiet"),
        ("cut", "out.dvq", "small.dvq", "--stages", "2", "--quiet"),
        ("verify", "out.dvq", "small.dvq"),
        ("info", "out.dvq"),
        ("models", tiny),
        ("eval", "speech.wav", "heard.wav", "--out", "results", "--quiet"),
        ("report", "results/evaluation.json", "report.html"),
        ("answers", "answers.json"),
        ("export", tiny, "graphs"),
    )
    assert {command[0] for command in commands} == set(VERBS) - {
        "send",
        "receive",
        "demo",
    }  # see test_call.py and test_demo.py
    runs, said = run_all(*commands, env=environment)
    assert [run.code for run in runs] == [0] * len(commands), said
    check_imports(runs[0].modules, "onnxruntime" if hidden else "torch")
    assert said.startswith(b"diveq-codec: wrote report.html"), said
    assert said.count(b"\n") == 1, said
    assert (coded / "out.dvq").read_bytes() == coded_bytes
    heard, _ = soundfile.read("heard.wav", dtype="float32")
    np.testing.assert_allclose(heard, library.decode("out.dvq").wave[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden", [("torch", "pesq", "pystoi"), ()])
def test_all_public_names_import_without_what_few_have(without, hidden):
    script = (
        "import codec\nfor name in codec.__all__: getattr(codec, name)\nimport sys; print('torch' "
        "in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=without(*hidden), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_what_is_not_installed_is_said_in_one_line(start, folder, tiny, without):
    process = start(
        "encode", "speech.wav", "--model", tiny, "--backend", "torch", env=without("torch")
    )
    assert (
        b"error: this backend needs torch, which is not installed: pip install"
        in process.communicate()[1]
    )
    assert process.returncode == 1
    assert not (folder / "speech.dvq").exists()


def test_only_what_computes_is_imported(run_all, folder, tiny):
    """By onnxruntime here, where torch is installed as well."""
    (run,), said = run_all(("encode", "speech.wav", "--model", tiny, "--backend", "onnx"))
    assert run.code == 0, said
    check_imports(run.modules, "onnxruntime")


def test_an_unknown_backend(call, folder, tiny):
    result = call("encode", "speech.wav", "--model", tiny, "--backend", "jax")
    assert result.code == 1
    assert result.error == "diveq-codec: error: backend is auto, torch or onnx, not 'jax'"


def test_export_lists_what_it_wrote(call, folder, tiny):
    result = call("export", tiny, "graphs")
    assert (result.code, result.err) == (0, "")
    names = ("encoder.onnx", "decoder.onnx", "tables.safetensors", "model.json")
    assert result.out.splitlines() == [
        f"{Path('graphs') / name}  {(folder / 'graphs' / name).stat().st_size:,} bytes"
        for name in names
    ]
    again = call("export", tiny, "graphs")
    assert again.code == 1
    assert again.error.endswith("exists already; --force, or overwrite=True in Python, replaces it")
    assert call("export", tiny, "graphs", "--force").code == 0
