"""The Python of the recipes' README runs as it stands there."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from real_speech import SAMPLES

from codec import Codec

README = Path(__file__).parents[2] / "recipes" / "README.md"


def blocks(heading: str) -> list[str]:
    """The Python blocks under a heading."""
    section = README.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    return [block.split("```")[0] for block in section.split("```python\n")[1:]]


class AudioSignalOfAudiotools:
    """What `encode` asks of an AudioSignal, where the package is not installed."""

    def __init__(self, path: str) -> None:
        wave, self.sample_rate = soundfile.read(path, dtype="float32")
        self.audio_data = torch.from_numpy(wave)[None, None]


def test_codes_in_your_own_model(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    if importlib.util.find_spec("audiotools") is None:
        stand_in = SimpleNamespace(AudioSignal=AudioSignalOfAudiotools)
        monkeypatch.setitem(sys.modules, "audiotools", stand_in)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    wave, rate = soundfile.read(min(SAMPLES.glob("yourtts-vctk*.flac")))
    soundfile.write("speech.wav", wave[: 2 * rate], rate)
    made, encode = [], Codec.encode

    def recorded(codec: Codec, *given: Any, **options: Any) -> Any:
        made.append(encode(codec, *given, **options))
        return made[-1]

    monkeypatch.setattr(Codec, "encode", recorded)
    found: dict[str, Any] = {}
    for block in blocks("Codes in your own model"):
        exec(block, found)
    forms, (eight,) = made[:4], made[4:]
    for form in forms:
        np.testing.assert_array_equal(form.codes, forms[0].codes)
    np.testing.assert_array_equal(found["codes"], eight.codes[0])
    np.testing.assert_array_equal(found["audio"].wave, found["codec"].decode(eight).wave)
    assert [clip.wave.shape for clip in found["clips"]] == [(1, 2 * rate), (1, 16_000)]
    assert found["vectors"].shape == (256, 100)
    summed = sum(
        table[row] for table, row in zip(found["codec"].codebooks, eight.codes[0], strict=False)
    )
    np.testing.assert_allclose(found["vectors"].T, summed, atol=1e-4)
    assert found["audio_codes"].shape == (2, 8, 100)
    assert found["audio_values"].shape == (2, 1, 32_000)
    trainable = [value for value in found["model"].parameters() if value.requires_grad]
    assert sum(value.grad is not None for value in trainable) > len(trainable) * 0.9
    assert (tmp_path / "tuned" / "model.safetensors").is_file()
