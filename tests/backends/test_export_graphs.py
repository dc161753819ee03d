"""Exported graphs, run by onnxruntime alone as another program would, and the files beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import make_checkpoint
from safetensors.numpy import load_file
from synthesis import synthesize_speech

from codec import CheckpointError, Codec, export_onnx
from codec.bitstream import StageLayout, fit_tables
from codec.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return synthesize_speech(2.0, seed=2)


def session(folder: Path, name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])


def high_passed(wave: np.ndarray, folder: Path) -> np.ndarray:
    """By model.json alone, as a program in another language would."""
    filter_ = json.loads((folder / "model.json").read_text())["high_pass"]
    numerator, denominator = filter_["numerator"], filter_["denominator"]
    made = np.zeros(len(wave))
    for n in range(len(wave)):
        for k in range(min(3, n + 1)):
            made[n] += numerator[k] * float(wave[n - k]) - (
                denominator[k] * made[n - k] if k else 0.0
            )
    return made.astype(np.float32)


def test_graphs_give_the_codes_and_the_wave_of_the_codec(tiny_model, wave, tmp_path):
    sizes = export_onnx(tiny_model, tmp_path / "new" / "graphs")
    folder = tmp_path / "new" / "graphs"
    assert sizes == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert set(sizes) == {"encoder.onnx", "decoder.onnx", "model.json"}

    codec = Codec.load(tiny_model, device="cpu")
    encoded = codec.encode(wave, sample_rate_hz=16_000)
    filtered = high_passed(wave, folder)
    (codes,) = session(folder, "encoder.onnx").run(None, {"wave": filtered[None, None]})
    np.testing.assert_array_equal(codes, encoded.codes)
    decoder = session(folder, "decoder.onnx")
    for stages in (1, 4):
        (heard,) = decoder.run(None, {"codes": codes[:, :stages]})  # pyright: ignore[reportCallIssue]
        expected = codec.decode(encoded, stages=stages).wave
        np.testing.assert_allclose(heard[:, 0], expected, rtol=0, atol=1e-5)  # pyright: ignore[reportCallIssue]
    assert decoder.get_modelmeta().custom_metadata_map["fingerprint"] == codec.fingerprint.hex()


def test_graphs_of_curves_take_their_positions(tiny_sf_model, wave, tmp_path):
    export_onnx(tiny_sf_model, tmp_path)
    encoded = Codec.load(tiny_sf_model, device="cpu").encode(
        wave, sample_rate_hz=16_000, position_bits=2
    )
    inputs = {"wave": high_passed(wave, tmp_path)[None, None], "positions": np.full(4, 4, np.int32)}
    np.testing.assert_array_equal(
        session(tmp_path, "encoder.onnx").run(None, inputs)[0], encoded.codes
    )


def test_the_description_and_the_tables(wave, tmp_path):
    plain = make_checkpoint()
    codes = Codec(plain, name="tiny", device="cpu").encode(wave, sample_rate_hz=16_000).codes
    tables = fit_tables(list(codes), [StageLayout(6)] * 4).to_arrays()
    checkpoint = Checkpoint(
        config=plain.config, weights=plain.weights, tables=tables, facts={"steps": 7}
    )
    checkpoint.save(tmp_path / "tabled.safetensors")
    export_onnx(tmp_path / "tabled.safetensors", tmp_path / "graphs")
    described = json.loads((tmp_path / "graphs" / "model.json").read_text())
    assert described["fingerprint"] == checkpoint.fingerprint().hex()
    assert type(checkpoint.config).from_dict(described["config"]) == checkpoint.config
    assert described["facts"] == {"steps": 7}
    layout = checkpoint.config.layout
    for part, expected in (
        ("encoder", layout.encoder_context),
        ("decoder", layout.decoder_context),
    ):
        assert described[f"{part}_context_frames"] == {
            "before": expected.before,
            "after": expected.after,
        }
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "graphs").iterdir()
        if path.name != "model.json"
    }
    assert described["sha256"] == hashes
    stored = load_file(tmp_path / "graphs" / "tables.safetensors")
    assert stored.keys() == tables.keys()
    for name, table in tables.items():
        np.testing.assert_array_equal(stored[name], table)


def test_existing_files_stay(tiny_model, tmp_path):
    (tmp_path / "encoder.onnx").write_text("mine")
    with pytest.raises(CheckpointError, match=r"not written: .*encoder\.onnx exists already"):
        export_onnx(tiny_model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.onnx"]
    export_onnx(tiny_model, tmp_path, overwrite=True)
    assert (tmp_path / "encoder.onnx").stat().st_size > 1000
    with pytest.raises(CheckpointError, match=r"not written: .*File exists"):
        export_onnx(tiny_model, tmp_path / "encoder.onnx")
