"""From a training state to a model file."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import shallow
from synthesis import synthesize_speech

from codec.api import Codec
from codec.audio.high_pass import HighPass
from codec.checkpoint import Checkpoint
from codec.errors import CheckpointError
from codec.model import CodecModel
from codec.training import to_model_file as export_module
from codec.training.to_model_file import averaged_model, code_commit, model_tables, to_checkpoint

from .small_run import batches, small_trainer


def quantizing_state(folder: Path, kind: str) -> dict[str, Any]:
    trainer = small_trainer(folder, kind)
    trainer.start_quantizing(batches)
    for step in range(3):
        trainer.step(batches(step), 0.3)
    return {"trainer": trainer.state_dict(), "model_config": trainer.model.config.to_dict()}


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> dict[str, dict[str, Any]]:
    return {
        kind: quantizing_state(tmp_path_factory.mktemp(kind), kind)
        for kind in ("diveq", "sf_diveq")
    }


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return synthesize_speech(2.0, seed=3)


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
def test_a_model_sounds_as_its_averaged_weights(states, speech, kind):
    """Folded, and (DiVeQ) in tour order: other indices, the same sound."""
    state = states[kind]
    trained = CodecModel(shallow(kind))
    trained.load_state_dict(state["trainer"]["averaged"])
    exported = averaged_model(state)
    wave, bits = torch.from_numpy(speech)[None, None], [0] * 2
    with torch.no_grad():
        codes = [model.encode(wave, bits) for model in (trained, exported)]
        sounds = [
            model.decode(code, bits) for model, code in zip((trained, exported), codes, strict=True)
        ]
    torch.testing.assert_close(sounds[1], sounds[0], rtol=1e-3, atol=1e-4)
    assert sounds[0].std() > 1e-3
    assert torch.equal(codes[0], codes[1]) is (kind == "sf_diveq")


def test_diveq_codebooks_are_in_an_order_where_neighbours_are_near(states):
    before = CodecModel(shallow())
    before.load_state_dict(states["diveq"]["trainer"]["averaged"])
    for stage, plain in zip(
        averaged_model(states["diveq"]).quantizer, before.folded().quantizer, strict=True
    ):
        steps = [book.diff(dim=0).norm(dim=1).sum() for book in (stage.codebook, plain.codebook)]
        assert steps[0] <= steps[1] * 1.001
        assert {tuple(row) for row in stage.codebook.tolist()} == {
            tuple(row) for row in plain.codebook.tolist()
        }


@pytest.mark.parametrize("weight_type", ["float16", "float32"])
def test_the_file_codes_as_the_model(states, speech, tmp_path, weight_type):
    model = averaged_model(states["diveq"])
    to_checkpoint(model, weight_type=weight_type, facts={"steps": 3}).save(
        tmp_path / "model.safetensors"
    )
    stored = Checkpoint.load(tmp_path / "model.safetensors")
    assert {weight.dtype.name for weight in stored.weights.values()} == {weight_type}
    codec = Codec.load(tmp_path / "model.safetensors", device="cpu")
    assert codec.facts == {"steps": 3}
    decoded = codec.decode(codec.encode(speech, sample_rate_hz=16_000)).wave[0]
    with torch.no_grad():
        wave = torch.from_numpy(HighPass(16_000).push(speech[None]))[None]
        expected = model.decode(model.encode(wave, [0] * 2), [0] * 2)[0, 0].numpy()
    error = np.sqrt(np.mean((decoded - expected) ** 2) / np.mean(expected**2))
    assert error < (
        0.1 if weight_type == "float16" else 1e-3
    )  # a rounded weight may choose another codeword


def test_weights_beyond_float16_are_refused_and_fit_float32(states):
    model = copy.deepcopy(averaged_model(states["diveq"]))
    next(model.decoder.parameters()).data.flatten()[0] = 70_000.0
    with pytest.raises(
        CheckpointError,
        match=r"the weights decoder\.\S+ reach 7e\+04, beyond float16: export float32",
    ):
        to_checkpoint(model, weight_type="float16")
    to_checkpoint(model, weight_type="float32")
    next(model.decoder.parameters()).data.flatten()[0] = float("nan")
    with pytest.raises(CheckpointError, match="NaN or infinite values: the training has failed"):
        to_checkpoint(model, weight_type="float32")


def test_a_run_without_codebooks_has_no_model(tmp_path):
    trainer = small_trainer(tmp_path)
    trainer.step(batches(0), 0.0)
    state = {"trainer": trainer.state_dict(), "model_config": trainer.model.config.to_dict()}
    with pytest.raises(CheckpointError, match="at step 1 the run has no codebooks yet"):
        averaged_model(state)


def test_weights_of_another_configuration_are_refused(states):
    state = {**states["diveq"], "model_config": shallow().to_dict() | {"latent_channels": 16}}
    with pytest.raises(CheckpointError, match="the state's weights do not fit its configuration"):
        averaged_model(state)


def test_tables_fitted_on_the_codes_make_files_smaller(states, speech):
    model = averaged_model(states["diveq"])
    plain = Codec(to_checkpoint(model), name="plain", device="cpu")
    codes = [
        plain.encode(synthesize_speech(8.0, seed=seed), sample_rate_hz=16_000).codes[0]
        for seed in (3, 4)
    ]
    tables = model_tables(model.config, codes)
    coded = Codec(to_checkpoint(model, tables=tables), name="coded", device="cpu")
    assert coded.fingerprint != plain.fingerprint
    files = [codec.encode(speech, sample_rate_hz=16_000).to_bytes() for codec in (plain, coded)]
    assert len(files[1]) < 0.98 * len(files[0])
    np.testing.assert_array_equal(coded.decode(files[1]).wave, plain.decode(files[0]).wave)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_that_of_the_source_and_of_nothing_around_it(tmp_path, monkeypatch):
    source = tmp_path / "package" / "export.py"
    source.parent.mkdir()
    source.write_text("first")
    monkeypatch.setattr(export_module, "__file__", str(source))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_commit() == "unknown"  # no repository
    git(tmp_path, "init", "--quiet")
    (tmp_path / "other").write_text("another project")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "--quiet", "-m", "Another project")
    assert code_commit() == "unknown"  # installed into the repository of something else
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "--quiet", "-m", "Ours")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert code_commit() == commit
    source.write_text("second")
    assert code_commit() == commit + "+"
