"""--backend: what it computes, what it imports, and that all verbs work where PyTorch is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

HIDING = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
hidden = {"torch", "einops", "jaxtyping"}
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in hidden else find(name, *rest)
"""


@pytest.fixture
def without_torch(tmp_path_factory) -> dict[str, str]:
    """An environment where torch, and what is installed only beside it, cannot be imported."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(HIDING)
    return os.environ | {"PYTHONPATH": str(folder)}


def test_all_verbs_work_without_torch(start, coded, tiny, library, coded_bytes, without_torch):
    for arguments in (
        ("encode", "speech.wav", "out.dvq", "--model", tiny, "--quiet"),
        ("decode", "out.dvq", "heard.wav", "--model", tiny, "--subtype", "FLOAT", "--quiet"),
        ("cut", "out.dvq", "small.dvq", "--stages", "2"),
        ("verify", "out.dvq", "small.dvq"),
        ("info", "out.dvq"),
        ("models", tiny),
    ):
        process = start(*arguments, env=without_torch)
        assert (process.communicate()[1], process.returncode) == (b"", 0)
    assert (coded / "out.dvq").read_bytes() == coded_bytes
    heard, _ = soundfile.read("heard.wav", dtype="float32")
    np.testing.assert_allclose(heard, library.decode("out.dvq").wave[0], rtol=0, atol=1e-5)


def test_what_is_not_installed_is_said_in_one_line(start, folder, tiny, without_torch):
    process = start("encode", "speech.wav", "--model", tiny, "--backend", "torch", env=without_torch)
    assert b"error: this backend needs torch, which is not installed: pip install" in process.communicate()[1]
    assert process.returncode == 1
    assert not (folder / "speech.dvq").exists()


@pytest.mark.parametrize(
    ("backend", "needed", "unwanted"),
    [
        ("onnx", b"onnxruntime", {b"torch", b"einops", b"jaxtyping", b"onnx", b"rich"}),
        ("torch", b"torch", {b"onnxruntime", b"torch._dynamo", b"sympy", b"rich"}),  # the middle two take seconds
    ],
)
def test_only_what_computes_is_imported(start, folder, tiny, backend, needed, unwanted):
    arguments = ("encode", "speech.wav", "--model", tiny, "--backend", backend)
    process = start(*arguments, python=("-X", "importtime", "-m", "codec.cli"))
    modules = {line.rpartition(b"|")[2].strip() for line in process.communicate()[1].splitlines()}
    assert process.returncode == 0
    assert needed in modules
    assert not unwanted & modules


def test_an_unknown_backend(call, folder, tiny):
    result = call("encode", "speech.wav", "--model", tiny, "--backend", "jax")
    assert result.code == 1
    assert result.error == "diveq-codec: error: backend is auto, torch or onnx, not 'jax'"


def test_export_lists_what_it_wrote(call, folder, tiny):
    result = call("export", tiny, "graphs")
    assert (result.code, result.err) == (0, "")
    names = ("encoder.onnx", "decoder.onnx", "tables.safetensors", "model.json")
    assert result.out.splitlines() == [
        f"{Path('graphs') / name}  {(folder / 'graphs' / name).stat().st_size:,} bytes" for name in names
    ]
    again = call("export", tiny, "graphs")
    assert again.code == 1
    assert again.error.endswith("choose another name, or allow overwriting (overwrite=True)")
    assert call("export", tiny, "graphs", "--force").code == 0
