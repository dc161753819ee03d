"""models: the shipped ones, and files."""

from __future__ import annotations

import json


def test_lists_the_shipped_models(call, shipped, library):
    result = call("models", "--json")
    assert (result.code, result.err) == (0, "")
    space, tiny = map(json.loads, result.out.splitlines())
    assert tiny == {
        "name": "tiny",
        "default": True,
        "path": str(shipped / "tiny.safetensors"),
        "fingerprint": library.fingerprint.hex(),
        "sample_rate_hz": 16_000,
        "frame_rate_hz": 50.0,
        "stages": 4,
        "least_kbps": 0.3,
        "most_kbps": 1.2,
        "bytes": (shipped / "tiny.safetensors").stat().st_size,
        "trained": {"training": "none: random weights", "hours": 0},
    }
    assert (space["name"], space["default"]) == ("space", False)


def test_tells_people_the_same(call, shipped, library):
    lines = call("models").out.splitlines()
    assert lines[0] == "space"
    assert lines[lines.index("tiny (default)") :] == [
        "tiny (default)",
        f"  fingerprint  {library.fingerprint.hex()}",
        "  rate         16000 Hz, 50 frames/s",
        "  bitrate      0.3 to 1.2 kbps, 4 stages",
        f"  size         {(shipped / 'tiny.safetensors').stat().st_size / 1e6:.1f} MB",
        "  training     none: random weights",
        "  hours        0",
    ]


def test_describes_a_file_which_is_not_the_default_one(call, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("codec.model_lookup._models_folder", lambda: tmp_path)
    monkeypatch.setattr("codec.model_lookup.DEFAULT_MODEL", "tiny")
    facts = json.loads(call("models", tiny, "--json").out)
    assert (facts["path"], facts["default"]) == (tiny, False)


def test_describes_a_model_by_its_name(call, shipped):
    result = call("models", "tiny", "--json")
    assert json.loads(result.out)["path"] == str(shipped / "tiny.safetensors")
    assert call("models", "nobody").error.endswith("there is no model file nobody")


def test_without_any(call, tmp_path, monkeypatch):
    monkeypatch.setattr("codec.model_lookup._models_folder", lambda: tmp_path)
    result = call("models")
    assert (result.code, result.out) == (0, "")
    assert (
        result.error
        == "diveq-codec: no model came with this version; give a model file with --model"
    )


def test_a_file_that_is_no_model(call, folder):
    result = call("models", "speech.wav")
    assert result.code == 1
    assert result.error.startswith("diveq-codec: error: speech.wav is not a ")
