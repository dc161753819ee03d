"""The adapters on the toolkits' own base classes, where they are installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from synthesis import synthesize_speech

from codec import Codec


@pytest.fixture(autouse=True)
def torchaudio(monkeypatch):
    """The toolkit imports it to save files; it does not import beside a torch without CUDA."""
    monkeypatch.setitem(sys.modules, "torchaudio", SimpleNamespace())


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return synthesize_speech(1.5, seed=2).astype(np.float32)


def test_codec_superb(tiny_model, wave):
    pytest.importorskip("SoundCodec.base_codec.general")
    from recipes.adapters.codec_superb import DiveqBaseCodec

    class TinyCodec(DiveqBaseCodec):
        model = str(tiny_model)
        options = {"stages": 3}  # noqa: RUF012 (as the base has it)

    benchmark, codec = TinyCodec(), Codec.load(tiny_model, device="cpu")
    expected = codec.encode(wave, sample_rate_hz=16_000, stages=3)
    data = [{"id": n, "audio": {"array": part}} for n, part in enumerate((wave, wave[:9000]))]
    one = benchmark.extract_unit(data[0])
    np.testing.assert_array_equal(one.unit.numpy(), expected.codes[0])
    synthesised = benchmark.synth(dict(data[0], audio=dict(data[0]["audio"])), local_save=False)
    np.testing.assert_array_equal(
        synthesised["audio"]["array"].numpy(), codec.decode(expected).wave
    )
    together = benchmark.batch_synth(
        [dict(row, audio=dict(row["audio"])) for row in data], local_save=False
    )
    assert [row["audio"]["array"].shape for row in together] == [(1, 24_000), (1, 9000)]
    np.testing.assert_array_equal(together[0]["unit"], one.unit)
