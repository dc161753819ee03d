"""Other codecs as candidates: their bits, their failures, and the evaluation that comes out."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from synthesis import synthesize_speech, write_corpus

from codec.errors import AudioError, ConfigError, OutputError
from codec.evaluation.result import read_evaluation
from codec.evaluation.signal import Signal
from recipes.measure.compare import neural, opus_tools
from recipes.measure.compare.__main__ import Arguments, main, ours
from recipes.measure.compare.codec2 import codec2_peers
from recipes.measure.compare.neural import LAYOUTS, Layout, NeuralModel
from recipes.measure.compare.timed import NOTE

COPY = "#!/bin/sh\ncp $2 $3\n"
FAIL = "#!/bin/sh\necho it broke >&2\nexit 3\n"


def install(monkeypatch, folder: Path, **programs: str) -> None:
    """Programs of our own, found before any other."""
    if sys.platform == "win32":
        pytest.skip("the stand-ins are shell scripts")
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def page(lengths: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lengths)]) + lengths + bytes(sum(lengths))


def test_packets_of_ogg_pages_are_put_together():
    """Packets of 19, 255 and 600 bytes, the last over two pages, and an empty one."""
    file = page(bytes([19, 255, 0, 255])) + page(bytes([255, 90, 0]))
    assert opus_tools.ogg_packets(file) == [19, 255, 600, 0]
    with pytest.raises(AudioError, match="byte 46 of the Ogg file begins no page"):
        opus_tools.ogg_packets(page(bytes([18])) + b"RIFF" + bytes(30))


@pytest.mark.skipif(
    not (shutil.which("opusenc") and shutil.which("opusdec")), reason="opus-tools is not installed"
)
def test_opus_spends_about_what_it_is_told():
    peers = {peer.name: peer for peer in opus_tools.opus_peers()}
    signal = Signal(wave=synthesize_speech(4.0)[None], sample_rate_hz=16_000)
    decoded = peers["Opus 12 kbps"].decode("clip", signal)
    assert decoded.signal.wave.shape == signal.wave.shape
    assert decoded.bits == pytest.approx(12_000 * 4, rel=0.25)
    assert np.corrcoef(decoded.signal.wave[0], signal.wave[0])[0, 1] > 0.7


@pytest.mark.skipif(not shutil.which("c2enc"), reason="codec2 is not installed")
def test_codec2_spends_exactly_its_rate():
    signal = Signal(wave=synthesize_speech(2.0, sample_rate_hz=8_000)[None], sample_rate_hz=8_000)
    for peer, bits in zip(codec2_peers(), (3200 * 2, 1200 * 2), strict=True):
        decoded = peer.decode("clip", signal)
        assert decoded.bits == bits
        assert decoded.signal.wave.shape == (1, 16_000)


def test_codec2_is_given_whole_frames_of_16_bits(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "bin", c2enc=COPY, c2dec=COPY)
    wave = np.clip(synthesize_speech(0.5, sample_rate_hz=8_000, level=0.5), -1, 1)[:3999]
    stereo = Signal(wave=np.stack([wave, -wave]), sample_rate_hz=8_000)
    decoded = codec2_peers()[1].decode("clip", stereo)
    assert decoded.bits == 2 * 13 * 320 * 16  # twelve and a half frames
    assert decoded.signal.sample_rate_hz == 8_000
    np.testing.assert_allclose(decoded.signal.wave, stereo.wave, rtol=0, atol=1 / 32_768)


def halving(weights: Path | None) -> NeuralModel:
    """A "codec" of two codebooks: every second sample, and the ones between."""
    del weights

    def encode(wave, codebooks):
        return [wave[..., start::2] for start in range(codebooks)]

    def decode(codes):
        whole = torch.zeros(1, 1, 2 * codes[0].shape[-1])
        for start, code in enumerate(codes):
            whole[..., start::2] = code
        return whole

    return NeuralModel(
        module=torch.nn.Identity(), sample_rate_hz=16_000, encode=encode, decode=decode
    )


HALVING = Layout(
    family="Halving",
    package="none",
    sample_rate_hz=16_000,
    hop=100,
    code_bits=3,
    kbps={1: 24.0, 2: 48.0},
    load=halving,
)


def test_neural_codes_count_at_fixed_width(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    low, high = neural.neural_peers(HALVING, tmp_path)
    assert (low.name, high.name) == ("Halving, 24 kbps", "Halving, 48 kbps")
    signal = Signal(wave=synthesize_speech(0.1)[None, :1501], sample_rate_hz=16_000)
    decoded = high.decode("clip", signal)
    assert decoded.bits == 1600 * 3  # padded to the hop
    np.testing.assert_array_equal(decoded.signal.wave, signal.wave)
    assert low.decode("clip", signal).bits == 800 * 3
    assert HALVING.timed_codebooks == 1
    with pytest.raises(ConfigError, match="is for 16000 Hz: it is not Halving"):
        neural.neural_peers(dataclasses.replace(HALVING, sample_rate_hz=8_000), tmp_path)


def test_a_model_that_fails_fails_the_clip():
    def refuse(wave, codebooks):
        raise RuntimeError("padding is too large\nfor this wave")

    model = dataclasses.replace(halving(None), encode=refuse)
    with pytest.raises(AudioError, match=r"^Halving failed: padding is too large$"):
        neural.code(HALVING, model, np.zeros(100, np.float32), 2)


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        ConfigError, match="DAC 16 kHz needs the package transformers: pip install transformers"
    ):
        neural.load(neural.DAC, None)
    with pytest.raises(
        ConfigError, match=r"is not a folder with Mimi 24 kHz's config\.json and weights"
    ):
        neural.load(neural.MIMI, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="opusenc and opusdec not found: install opus-tools"):
        opus_tools.opus_peers()
    with pytest.raises(
        ConfigError, match="there is no adapter for mp3; known: opus, codec2, encodec, "
    ):
        Arguments(data=tmp_path, out=tmp_path, systems=("mp3",))


@pytest.mark.parametrize(
    ("rates", "names"),
    [
        ({}, ["tiny, 0.3 kbps", "tiny, 0.6 kbps", "tiny, 1.2 kbps"]),
        (
            {"bitrates": (0.2, 0.3, 0.45, 1.2, 1.3)},
            ["tiny, 0.3 kbps", "tiny, 0.45 kbps", "tiny, 1.2 kbps"],
        ),
        ({"stages": (4, 5)}, ["tiny, 4 stages"]),
        ({"bitrates": (0.5, 3.0), "stages": (1, 12)}, ["tiny, 0.5 kbps", "tiny, 1 stage"]),
        ({"bitrates": (3.0,), "stages": (2,)}, ["tiny, 2 stages"]),
    ],
)
def test_ours_have_the_rates_asked_for_but_those_that_they_lack(tmp_path, tiny_model, rates, names):
    arguments = Arguments(data=tmp_path, out=tmp_path, models=(str(tiny_model),), **rates)
    assert [candidate.name for candidate in ours(arguments)] == names


def test_a_model_without_any_rate_asked_for_is_skipped(tmp_path, tiny_model, capsys):
    arguments = Arguments(
        data=tmp_path, out=tmp_path, models=(str(tiny_model),), bitrates=(6.0,), stages=(12,)
    )
    assert ours(arguments) == []
    assert capsys.readouterr().err == "skipped tiny: it has 0.3 to 1.2 kbps, and stages 1 to 4\n"


def test_one_run_makes_an_evaluation_that_reads_back(monkeypatch, tmp_path, tiny_model, capsys):
    install(monkeypatch, tmp_path / "bin", c2enc=COPY, c2dec=COPY)
    monkeypatch.setitem(LAYOUTS, "snac", HALVING)
    monkeypatch.setitem(sys.modules, "transformers", None)
    data = write_corpus(tmp_path / "data", [1.0, 1.2])
    (data / "broken.wav").write_bytes(b"no audio")
    arguments = Arguments(
        data=data,
        out=tmp_path / "out",
        systems=("codec2", "dac", "snac"),
        models=(str(tiny_model),),
        bitrates=(0.45,),
        stages=(2, 12),
        metrics=("si_sdr", "stoi"),
        workers=1,
        threads=torch.get_num_threads(),
    )
    main(arguments)
    evaluation = read_evaluation(tmp_path / "out" / "evaluation.json")

    systems = {system.name: system for system in evaluation.systems}
    assert list(systems) == [
        "tiny, 0.45 kbps",
        "tiny, 2 stages",
        "Codec2 3200 bps",
        "Codec2 1200 bps",
        "Halving",
    ]
    assert [reference.name for reference in evaluation.references] == [
        "broken.wav",
        "speaker00/clip.wav",
        "speaker01/clip.wav",
    ]
    copied = systems["Codec2 3200 bps"]
    assert copied.clips[0].failure
    assert copied.kbps == pytest.approx(128, rel=0.01)  # 8 kHz of 16 bits, as the stand-in spends
    assert copied.means["si_sdr"].clips == 2
    assert all((tmp_path / "out" / clip.audio).is_file() for clip in copied.clips if clip.audio)
    timed = systems["Halving"]
    assert {clip.failure for clip in timed.clips} == {NOTE}
    assert timed.means["stoi"].mean is None
    assert timed.encode_speed is not None
    assert timed.encode_speed > 0

    said = capsys.readouterr()
    assert "skipped dac: DAC 16 kHz needs the package transformers" in said.err
    assert "| tiny, 2 stages | " in said.out
    less, more = (systems[name].kbps for name in ("tiny, 0.45 kbps", "tiny, 2 stages"))
    assert less is not None
    assert more is not None
    assert less < more
    with pytest.raises(OutputError, match=r"evaluation\.json exists already; --force"):
        main(arguments)


def test_a_program_that_fails_fails_its_clips_alone(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path / "bin", c2enc=FAIL, c2dec=COPY)
    data = write_corpus(tmp_path / "data", [1.0])
    arguments = Arguments(
        data=data,
        out=tmp_path / "out",
        systems=("codec2",),
        models=(),
        metrics=("si_sdr",),
        workers=1,
    )
    main(dataclasses.replace(arguments, threads=torch.get_num_threads()))
    evaluation = read_evaluation(tmp_path / "out" / "evaluation.json")
    assert {clip.failure for system in evaluation.systems for clip in system.clips} == {
        "c2enc failed: it broke"
    }
    assert all(system.kbps is None for system in evaluation.systems)


@pytest.mark.parametrize("name", LAYOUTS)
def test_published_layouts_run_and_spend_what_they_say(name):
    layout = LAYOUTS[name]
    pytest.importorskip(layout.package, reason=f"{layout.package} is not installed")
    model = neural.load(layout, None)
    seconds = 3 * layout.hop / layout.sample_rate_hz
    wave = synthesize_speech(seconds, sample_rate_hz=layout.sample_rate_hz)
    for codebooks, kbps in layout.kbps.items():
        coded = neural.code(layout, model, wave, codebooks)
        assert coded.bits == pytest.approx(1000 * kbps * seconds, rel=5e-3)
        assert abs(len(coded.wave) - len(wave)) < layout.hop


def test_weights_are_read_from_a_folder(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(1)
    model = neural.load(neural.ENCODEC, None)
    model.module.save_pretrained(tmp_path)  # pyright: ignore[reportCallIssue]
    wave = synthesize_speech(0.4, sample_rate_hz=24_000)
    expected = neural.code(neural.ENCODEC, model, wave, 8)
    found = neural.code(neural.ENCODEC, neural.load(neural.ENCODEC, tmp_path), wave, 8)
    np.testing.assert_allclose(found.wave, expected.wave, rtol=0, atol=1e-6)
