"""Models are found by name, by path and by fingerprint."""

from __future__ import annotations

import os

import pytest
from conftest import make_checkpoint

from codec.api import Codec
from codec.checkpoint import Checkpoint
from codec.errors import CheckpointError
from codec.model_lookup import find_model, found_models, model_info, model_with_fingerprint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return make_checkpoint()


def test_models_of_ones_own_are_found_by_name_and_by_fingerprint(checkpoint, tmp_path, monkeypatch):
    other = make_checkpoint(seed=5)
    checkpoint.save(tmp_path / "mine.safetensors")
    (tmp_path / "runs" / "first").mkdir(parents=True)
    other.save(tmp_path / "runs" / "first" / "model.safetensors")
    (tmp_path / "llm.safetensors").write_bytes(b"something else")
    monkeypatch.setenv("DIVEQ_MODELS", os.pathsep.join([str(tmp_path), "", str(tmp_path / "runs")]))
    assert find_model("mine") == tmp_path / "mine.safetensors"
    assert find_model("first") == tmp_path / "runs/first/model.safetensors"
    assert {"speech_16khz", "mine", "first"} <= {model.name for model in found_models()}
    assert model_with_fingerprint(other.fingerprint()) == find_model("first")
    assert Codec.load("first", device="cpu").name == "first"
    monkeypatch.delenv("DIVEQ_MODELS")
    with pytest.raises(
        CheckpointError, match=r"name its file by --model \(Codec.load\), or .* DIVEQ_MODELS lists"
    ):
        model_with_fingerprint(other.fingerprint())


def test_a_run_stands_for_its_model(checkpoint, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"holds no model\.safetensors: has its run come to its end\?"
    ):
        find_model(tmp_path)
    checkpoint.save(tmp_path / "model.safetensors")
    assert find_model(tmp_path) == tmp_path / "model.safetensors"
    assert model_info(tmp_path).name == tmp_path.name
