"""The adapters on the toolkits' own code where it is installed, else on its interface alone."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from synthesis import synthesize_speech

from codec import Codec


@pytest.fixture(autouse=True)
def torchaudio(monkeypatch):
    """The toolkits import it to save files and to resample; it does not import beside a torch
    without CUDA.
    """

    def resample(wave, from_hz, to_hz):
        assert from_hz == to_hz
        return wave

    functional = SimpleNamespace(resample=resample)
    monkeypatch.setitem(sys.modules, "torchaudio", SimpleNamespace(functional=functional))


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


class InterfaceOfAudiocodecs(torch.nn.Module):
    """What `audiocodecs.codec.Codec` gives to those that derive from it, without resampling."""

    def __init__(self, sample_rate, orig_sample_rate, mode="reconstruct"):
        super().__init__()
        self.sample_rate, self.orig_sample_rate, self.mode = sample_rate, orig_sample_rate, mode

    def __getattr__(self, name):  # pyright: ignore[reportIncompatibleMethodOverride]
        if name in ("sig_to_toks", "sig_to_feats", "sig_to_qfeats", "toks_to_sig"):
            inner = getattr(self, f"_{name}")
            return lambda given, length=None: inner(
                given, torch.ones(len(given)) if length is None else length
            )
        return super().__getattr__(name)


def test_audiocodecs(tiny_model, wave, monkeypatch):
    if importlib.util.find_spec("audiocodecs") is None:
        stand_in = SimpleNamespace(Codec=InterfaceOfAudiocodecs)
        monkeypatch.setitem(sys.modules, "audiocodecs", SimpleNamespace(codec=stand_in))
        monkeypatch.setitem(sys.modules, "audiocodecs.codec", stand_in)
    from recipes.adapters.audiocodecs import DiveqAudioCodec

    adapted = DiveqAudioCodec(sample_rate=16_000, num_codebooks=3, model=str(tiny_model))
    codec = Codec.load(tiny_model, device="cpu")
    clips = [wave, wave[:9000]]
    sig = torch.zeros(2, len(wave))
    for row, clip in zip(sig, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    toks = adapted.sig_to_toks(sig, torch.tensor([1.0, 9000 / len(wave)]))
    for made, clip in zip(toks, clips, strict=True):
        expected = codec.encode(clip, sample_rate_hz=16_000, stages=3).codes[0]
        np.testing.assert_array_equal(made[: expected.shape[1]].T, expected)
        assert (made[expected.shape[1] :] == -1).all()
    first = toks[:1]
    heard = codec.decode_codes(first[0].T.numpy()).wave
    np.testing.assert_allclose(adapted.toks_to_sig(first), heard, atol=1e-5)
    np.testing.assert_allclose(
        adapted.sig_to_qfeats(sig[:1])[0].T, codec.latents(first[0].T.numpy())[0], atol=1e-5
    )
    embs = adapted.embs()
    np.testing.assert_allclose(embs, np.stack(codec.codebooks[:3]), atol=1e-5)
    summed = sum(embs[stage, first[0, :, stage]] for stage in range(3))
    np.testing.assert_allclose(adapted.sig_to_qfeats(sig[:1])[0], summed, atol=1e-5)
    assert adapted.sig_to_feats(sig).shape == (2, toks.shape[1], embs.shape[2])


def test_versa(tiny_model, wave, tmp_path):
    from recipes.adapters.versa import Arguments, main

    data, out = tmp_path / "speech", tmp_path / "out"
    (data / "ann").mkdir(parents=True)
    soundfile.write(data / "ann" / "1.flac", wave, 16_000)
    soundfile.write(data / "both.wav", np.stack([wave, wave], 1)[:20_001], 22_050)
    (data / "._both.wav").write_text("what macOS leaves behind")
    main(Arguments(data=data, out=out, model=str(tiny_model), bitrates=(0.5, 1.0)))
    codec = Codec.load(tiny_model, device="cpu")
    for folder in ("original", "0.5_kbps", "1_kbps"):
        assert sorted(p.name for p in (out / folder).iterdir()) == ["ann-1.wav", "both.wav"]
        facts = [soundfile.info(out / folder / name) for name in ("ann-1.wav", "both.wav")]
        assert [(f.samplerate, f.frames, f.channels) for f in facts] == [
            (16_000, 24_000, 1),
            (22_050, 20_001, 1),
        ]
    original, _ = soundfile.read(out / "original" / "ann-1.wav")
    coded = codec.encode(data / "ann" / "1.flac", bitrate_kbps=0.5)
    heard, _ = soundfile.read(out / "0.5_kbps" / "ann-1.wav")
    np.testing.assert_allclose(original, wave, atol=1e-4)
    np.testing.assert_allclose(heard, codec.decode(coded).wave[0].clip(-1, 1), atol=1e-4)


def test_versa_scores_the_folders(tiny_model, wave, tmp_path):
    scorer = pytest.importorskip("versa.scorer_shared")
    from recipes.adapters.versa import Arguments, main

    soundfile.write(tmp_path / "a.wav", wave, 16_000)
    main(Arguments(data=tmp_path, out=tmp_path / "out", model=str(tiny_model), bitrates=(1.0,)))
    original, decoded = (
        scorer.audio_loader_setup(str(tmp_path / "out" / folder), "dir")
        for folder in ("original", "1_kbps")
    )
    config = [{"name": "pesq"}, {"name": "stoi"}]
    metrics = scorer.load_score_modules(config)
    (scores,) = scorer.list_scoring(decoded, metrics, original, io="dir")
    assert scores["key"] == "a.wav"
    assert 1 <= scores["pesq"] <= 4.65
    assert -1 <= scores["stoi"] <= 1
