"""Model files: what goes in comes out, what names them, and every way to be wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from small_models import tiny_filterbank, tiny_transform

from codec.api import Codec
from codec.bitstream import StageLayout, fit_tables
from codec.checkpoint import FORMAT, Checkpoint
from codec.errors import CheckpointError
from codec.layouts.config import ModelConfig, StageConfig
from codec.layouts.presets import tiny
from codec.model_lookup import find_model, model_info

FACTS = {
    "steps": 7,
    "data": {"folder": "speech", "hours": 0.5},
    "validation": [{"stages": 1, "pesq_wb": None}],
}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A tiny model with tables and facts."""
    made = make_checkpoint()
    layout = tuple(StageLayout(stage.bits) for stage in made.config.stages)
    codes = np.random.default_rng(0).integers(0, 64, (4, 300))
    return dataclasses.replace(made, tables=fit_tables([codes], layout).to_arrays(), facts=FACTS)


def as_float16(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(
        checkpoint, weights={n: w.astype(np.float16) for n, w in checkpoint.weights.items()}
    )


@pytest.mark.parametrize(
    "stored", [as_float16, lambda checkpoint: checkpoint], ids=["float16", "float32"]
)
def test_a_file_gives_back_what_was_saved(checkpoint, stored, tmp_path):
    saved = stored(checkpoint)
    saved.save(tmp_path / "model.safetensors")
    loaded = Checkpoint.load(tmp_path / "model.safetensors")
    assert (loaded.config, loaded.facts) == (saved.config, FACTS)
    for mine, theirs in ((saved.weights, loaded.weights), (saved.tables, loaded.tables)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(mine[name], theirs[name])
    assert loaded.fingerprint() == saved.fingerprint()


def test_the_header_alone_tells_what_a_model_is(checkpoint, tmp_path):
    path = tmp_path / "mine.safetensors"
    checkpoint.save(path)
    info = model_info(path)
    assert (info.name, info.path, info.size_bytes) == ("mine", path, path.stat().st_size)
    assert (info.fingerprint, info.config, info.facts) == (
        checkpoint.fingerprint(),
        checkpoint.config,
        FACTS,
    )


# --- the fingerprint


def changed(
    arrays: Any, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    return {**arrays, name: change(arrays[name].copy())}


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_change_of_a_weight_or_table_changes_the_fingerprint(checkpoint, data):
    part = data.draw(st.sampled_from(["weights", "tables"]))
    arrays = getattr(checkpoint, part)
    name = data.draw(st.sampled_from(sorted(arrays)))
    flipped = arrays[name].copy()
    place = data.draw(st.integers(0, flipped.nbytes - 1))
    flipped.reshape(-1).view(np.uint8)[place] ^= 1 << data.draw(st.integers(0, 7))
    other = dataclasses.replace(checkpoint, **{part: {**arrays, name: flipped}})
    assert other.fingerprint() != checkpoint.fingerprint()


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate_hz": 16_001},
        {"latent_channels": 33},
        {"least_stages": 0},
        {"filterbank": tiny_filterbank(causal=True).filterbank},
        {"filterbank": tiny_filterbank(dilations=(1, 3, 9)).filterbank},  # the default
        {"transform": tiny_transform().transform, "filterbank": None},
        {"stages": tiny().stages[:3]},
        {"stages": tiny(kind="diveq_detach").stages},
        {"stages": (*tiny().stages[:3], StageConfig())},
        {"stages": (StageConfig(bits=6, dim=4, noise_variance=2e-3), *tiny().stages[1:])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_any_change_of_the_configuration_changes_the_fingerprint(checkpoint, changes):
    other = dataclasses.replace(
        checkpoint, config=dataclasses.replace(checkpoint.config, **changes)
    )
    assert other.fingerprint() != checkpoint.fingerprint()


def test_every_field_of_the_configuration_is_tried_above():
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    (mark,) = [
        mark
        for mark in test_any_change_of_the_configuration_changes_the_fingerprint.pytestmark  # pyright: ignore[reportFunctionMemberAccess]
        if mark.name == "parametrize"
    ]
    assert {name for changes in mark.args[1] for name in changes} == fields


def test_names_shapes_and_types_count(checkpoint):
    weights = dict(checkpoint.weights)
    name = next(name for name, weight in weights.items() if weight.ndim > 1)
    renamed = {**{n: w for n, w in weights.items() if n != name}, name + "x": weights[name]}
    fingerprints = {
        dataclasses.replace(checkpoint, weights=other).fingerprint()
        for other in (
            weights,
            renamed,
            {**weights, name: weights[name].T},
            as_float16(checkpoint).weights,
        )
    }
    assert len(fingerprints) == 4


def test_facts_file_name_and_order_do_not_count(checkpoint, tmp_path):
    backwards = dict(reversed(checkpoint.weights.items()))
    other = dataclasses.replace(checkpoint, weights=backwards, facts={"steps": 8})
    other.save(tmp_path / "another name.safetensors")
    assert model_info(tmp_path / "another name.safetensors").fingerprint == checkpoint.fingerprint()


def test_a_whole_number_for_a_fraction_is_the_same_model(checkpoint, tmp_path):
    """JSON gives 0 back as 0.0, or the other way round: the file must still match."""
    stages = (StageConfig(bits=6, dim=4, noise_variance=0), *checkpoint.config.stages[1:])
    config = dataclasses.replace(checkpoint.config, stages=stages)
    dataclasses.replace(checkpoint, config=config).save(tmp_path / "model.safetensors")
    assert Checkpoint.load(tmp_path / "model.safetensors").config == config


def test_the_fingerprint_stays_what_it_is():
    """Every `.dvq` file carries it, so no version may compute another one. Here it is made by
    hand.
    """
    stated = {
        "filterbank": {
            "decoder_width": 64,
            "dilations": [1, 3],
            "encoder_width": 8,
            "frontend_kernel": 32,
            "frontend_stride": 8,
            "residual_kernel": 3,
            "strides": [2, 4, 5],
        },
        "latent_channels": 32,
        "sample_rate_hz": 16000,
        "stages": [{"bits": 6, "dim": 4}] * 4,
    }
    content = json.dumps(stated).encode()
    content += b"entropy.b uint16 (1, 1)\n" + struct.pack("<H", 258)
    content += b"model.a float16 (2,)\n" + struct.pack("<2e", 1.0, -2.0)
    checkpoint = Checkpoint(
        config=tiny(),
        weights={"a": np.array([1, -2], ">f2")},
        tables={"b": np.array([[258]], np.uint16)},
    )
    assert checkpoint.fingerprint() == hashlib.sha256(content).digest()[:6]


# --- writing


def test_an_existing_file_is_kept_unless_told(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"the model is not saved: .*exists already"):
        checkpoint.save(path)
    assert path.read_bytes() == b"precious"
    checkpoint.save(path, overwrite=True)
    assert Checkpoint.load(path).fingerprint() == checkpoint.fingerprint()
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_stored_leaves_no_file(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    name = next(iter(checkpoint.weights))
    cases = [
        (
            {"weights": changed(checkpoint.weights, name, lambda w: w.astype(np.float64))},
            "of the type float64, not",
        ),
        (
            {"weights": changed(checkpoint.weights, name, lambda w: w * np.nan)},
            f"'model.{name}' holds NaN or infinite",
        ),
        (
            {"tables": {"stage_0.counts": np.ones(3)}},
            "'entropy.stage_0.counts' of the type float64, not int8",
        ),
        ({"facts": {"loss": float("nan")}}, "plain JSON"),
        ({"facts": {"loss": np.float32(1)}}, "plain JSON"),
    ]
    for changes, message in cases:
        with pytest.raises(CheckpointError, match=message):
            dataclasses.replace(checkpoint, **changes).save(path)
    with pytest.raises(CheckpointError, match=r"the model is not saved: .*there is no folder"):
        checkpoint.save(tmp_path / "nowhere" / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_the_file_as_the_umask_says(checkpoint, tmp_path):
    old = os.umask(0o022)
    try:
        checkpoint.save(tmp_path / "model.safetensors")
    finally:
        os.umask(old)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


# --- damage


def test_every_flipped_bit_of_weights_tables_and_configuration_is_found(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    dataclasses.replace(checkpoint, facts={}).save(path)
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    places = np.random.default_rng(1).integers(header, len(whole), 40)
    config = whole.index(b"sample_rate_hz")
    for place in (*places, *range(config + 17, config + 22), whole.index(b'"fingerprint":"') + 15):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"is damaged|cannot be used|damaged header|not a readable"
        ):
            Checkpoint.load(path)


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(checkpoint, tmp_path, length):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path)
    path.write_bytes(path.read_bytes()[:length])
    for read in (Checkpoint.load, model_info):
        with pytest.raises(CheckpointError, match="is not a readable model file"):
            read(path)


def test_a_flipped_weight_says_damaged(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(
        CheckpointError,
        match=r"is damaged: its content has the fingerprint [0-9a-f]{12}, and it says",
    ):
        Checkpoint.load(path)


def write_raw(
    path: Path,
    checkpoint: Checkpoint,
    tensors: dict[str, np.ndarray] | None = None,
    **metadata: str | None,
):
    """A file as `save` makes it, but for what is named."""
    full = {
        "format": FORMAT,
        "fingerprint": checkpoint.fingerprint().hex(),
        "config": json.dumps(checkpoint.config.to_dict()),
        "facts": "{}",
    } | metadata
    arrays = (
        {f"model.{name}": weight for name, weight in checkpoint.weights.items()}
        if tensors is None
        else tensors
    )
    save_file(arrays, path, {name: value for name, value in full.items() if value is not None})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": None}, "not a model file of this version: its format is none"),
        (
            {"format": "diveq-codec model 9"},
            "its format is 'diveq-codec model 9', not 'diveq-codec model 1'",
        ),
        ({"config": None}, "a configuration that cannot be used"),
        ({"config": "{"}, "a configuration that cannot be used"),
        ({"config": "[" * 100_000}, "a configuration that cannot be used"),
        (
            {"config": '{"width": 3}'},
            "cannot be used: ModelConfig has no field width; .* newer diveq-codec",
        ),
        ({"config": "{}"}, "cannot be used: ModelConfig lacks latent_channels"),
        ({"facts": "]"}, "a damaged header"),
        ({"facts": "[]"}, "a damaged header"),
        ({"fingerprint": None}, "a damaged header"),
        ({"fingerprint": "xyz"}, "a damaged header"),
        ({"fingerprint": "00"}, "a damaged header"),
    ],
)
def test_a_wrong_header_is_refused(checkpoint, tmp_path, metadata, message):
    path = tmp_path / "model.safetensors"
    write_raw(path, checkpoint, **metadata)
    for read in (Checkpoint.load, model_info):
        with pytest.raises(CheckpointError, match=message):
            read(path)


def test_foreign_tensors_are_refused(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    cases = [
        (
            {"optimizer.step": np.zeros(1, np.float32)},
            "'optimizer.step', which belongs to no part of a model",
        ),
        ({"model.a": np.zeros(1, np.int64)}, "'model.a' of the type I64, not float16 or float32"),
        ({"entropy.stage_0.counts": np.zeros(1, np.float32)}, "of the type float32, not int8 or"),
    ]
    for tensors, message in cases:
        write_raw(path, checkpoint, tensors)
        with pytest.raises(CheckpointError, match=message):
            Checkpoint.load(path)


def test_a_safetensors_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "llm.safetensors"
    save_file({"wte": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(
        CheckpointError, match="not a model file of this version: its format is none"
    ):
        Checkpoint.load(path)


def test_no_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(CheckpointError, match="there is no model file"):
        Checkpoint.load(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a readable model file"):
        Checkpoint.load(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"no model file at nobody, and no model of that name; known: "
    ):
        find_model("nobody")


# --- what a codec makes of it


def test_weights_that_do_not_fit_their_configuration_are_refused(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    name = "decoder.0.conv.bias"
    lacking = {other: weight for other, weight in checkpoint.weights.items() if other != name}
    for weights in (
        lacking,
        {**checkpoint.weights, "decoder.more": np.zeros(1, np.float32)},
        changed(checkpoint.weights, name, lambda w: w[:-1]),
    ):
        dataclasses.replace(checkpoint, weights=weights).save(path, overwrite=True)
        with pytest.raises(
            CheckpointError, match=r"does not fit its configuration, e.g. at 'decoder"
        ):
            Codec.load(path, device="cpu")


def test_tables_that_are_incomplete_are_refused(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    tables = {name: table for name, table in checkpoint.tables.items() if name != "stage_1.counts"}
    dataclasses.replace(checkpoint, tables=tables).save(path)
    with pytest.raises(
        CheckpointError,
        match=r"cannot code: its entropy tables .*the entropy table of stage 1 is incomplete",
    ):
        Codec.load(path, device="cpu")
    of_one_stage = {
        name: table for name, table in checkpoint.tables.items() if name.startswith("stage_0.")
    }
    dataclasses.replace(checkpoint, tables=of_one_stage).save(path, overwrite=True)
    with pytest.raises(
        CheckpointError, match="cannot code: its entropy tables do not fit its configuration"
    ):
        Codec.load(path, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["encoder", "decoder", "codebook"])
def test_forged_weights_that_are_no_numbers_are_refused(checkpoint, tmp_path, part, value):
    """With the right fingerprint, which anybody can compute."""
    path = tmp_path / "model.safetensors"
    name = next(name for name in checkpoint.weights if part in name)
    weights = changed(checkpoint.weights, name, lambda weight: np.full_like(weight, value))
    forged = dataclasses.replace(checkpoint, weights=weights, tables={})
    write_raw(path, forged)
    with pytest.raises(
        CheckpointError,
        match=f"cannot code: the tensor 'model.{name}' holds NaN or infinite values",
    ):
        Checkpoint.load(path)


def test_a_saved_model_codes_as_the_one_in_memory(checkpoint, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.save(path)
    wave = 0.1 * np.sin(np.arange(8000) * 0.05)
    coded = [
        codec.encode(wave, sample_rate_hz=16_000).to_bytes()
        for codec in (
            Codec(checkpoint, name="memory", device="cpu"),
            Codec.load(path, device="cpu"),
        )
    ]
    assert coded[0] == coded[1]
