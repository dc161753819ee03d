"""Work is counted, never timed: multiply-adds of presets against recorded bounds and against peers;
and what the tables say of times.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from torch import nn

from codec import Codec
from codec.backends.torch_backend import TorchBackend
from codec.errors import ConfigError
from codec.layouts.presets import PRESETS
from recipes.measure.bench import long_file, rounds
from recipes.measure.bench.__main__ import Arguments, main
from recipes.measure.bench.rounds import Ratio, paired_ratio
from recipes.measure.bench.timed_systems import our_system, peer_system, speech
from recipes.measure.bench.work import count_multiply_adds, model_work
from recipes.measure.compare.neural import DAC, ENCODEC

# Millions of multiply-adds per second of audio to encode and to decode. A change that needs more is
# seen here; one that needs less should lower the number. `model_work(PRESETS[...]())` counts them.
BOUNDS = {"speech_16khz": (168, 233), "speech_24khz": (248, 349)}
# How many times our default's multiply-adds a peer needs at least: to encode, to decode.
LEAST_RATIOS = {"DAC 16 kHz": (73, 119), "EnCodec 24 kHz": (9.3, 6.4)}


@pytest.mark.parametrize("preset", BOUNDS)
def test_presets_need_no_more_work_than_recorded(preset):
    for found, bound in zip(model_work(PRESETS[preset]()), BOUNDS[preset], strict=True):
        assert 0.9 * bound < found / 1e6 <= bound


def test_the_default_needs_a_fraction_of_its_peers_work():
    ours = model_work(PRESETS["speech_16khz"]())
    for peer, works in {"DAC 16 kHz": dac_work(), "EnCodec 24 kHz": encodec_work()}.items():
        for work, our_work, least in zip(works, ours, LEAST_RATIOS[peer], strict=True):
            assert work / our_work >= least, peer


def dac_work() -> tuple[float, float]:
    """Multiply-adds per second to encode and decode, from the layers of Kumar et al. 2023 at 16
    kHz, 12 codebooks.
    """
    rate, width, encode = 16_000, 64, 16_000 * 7 * 64
    for stride in (2, 4, 5, 8):
        encode += rate * 3 * (7 + 1) * width**2  # residual units
        rate, width = rate // stride, 2 * width
        encode += rate * 2 * stride * width // 2 * width
    encode += rate * (3 * width * width + 12 * (2 * width * 8 + 1024 * 8))
    decode, width = rate * (12 * 8 * 1024 + 7 * 1024 * 1536), 1536
    for stride in (8, 5, 4, 2):
        decode += rate * 2 * stride * width * width // 2
        rate, width = rate * stride, width // 2
        decode += rate * 3 * (7 + 1) * width**2
    return encode, decode + rate * 7 * width


def encodec_work() -> tuple[float, float]:
    """The same for the layers of Défossez et al. 2022 at 24 kHz, 8 codebooks; the two networks
    mirror each other.
    """
    rate, width = 24_000, 32
    network = rate * 7 * width
    for stride in (2, 4, 5, 8):
        network += rate * (
            3 * width * width // 2 + width // 2 * width + width**2
        )  # residual unit with a 1x1 shortcut
        rate, width = rate // stride, 2 * width
        network += rate * 2 * stride * width // 2 * width
    network += rate * (
        2 * 4 * 2 * width**2 + 7 * width * 128
    )  # LSTM of two layers, last convolution
    return network + rate * 8 * 1024 * 128, network


def test_peers_layers_are_those_that_their_package_runs():
    pytest.importorskip("transformers", reason="transformers is not installed")
    for layout, expected in ((DAC, dac_work()), (ENCODEC, encodec_work())):
        system = peer_system(layout, "cpu")
        works = (system.encode_work, system.decode_work)
        assert works == pytest.approx(expected, rel=1e-2), layout.family


def test_work_is_that_of_the_layers_shapes():
    """100 samples through a strided, a dilated, a transposed convolution, a linear layer and an
    LSTM.
    """
    layers = nn.Sequential(
        nn.Conv1d(3, 8, 5, stride=5), nn.Conv1d(8, 6, 3, dilation=2), nn.ConvTranspose1d(6, 4, 4, 2)
    )
    linear, lstm = nn.Linear(34, 7), nn.LSTM(7, 9, num_layers=2)
    model = nn.ModuleList([layers, linear, lstm])
    found = count_multiply_adds(model, lambda: lstm(linear(layers(torch.zeros(2, 3, 100)))))
    convolutions = 20 * 8 * 3 * 5 + 16 * 6 * 8 * 3 + 16 * 6 * 4 * 4
    steps = 2 * 4
    assert found == 2 * convolutions + steps * (34 * 7 + 4 * 9 * (7 + 9) + 4 * 9 * (9 + 9))
    assert not lstm._forward_hooks


def test_calls_take_turns(monkeypatch):
    clock, calls = [0.0], []
    durations = {"a": iter([1.0, 9.0, 2.0]), "b": iter([4.0, 4.0, 5.0])}

    def task(name):
        calls.append(name)
        clock[0] += next(durations[name])

    monkeypatch.setattr(rounds.time, "perf_counter", lambda: clock[0])
    found = rounds.times_in_turn([lambda: task("a"), lambda: task("b")], rounds=3)
    assert found == [[1.0, 9.0, 2.0], [4.0, 4.0, 5.0]]
    assert calls == ["a", "b"] * 3


def test_ratios_are_taken_round_by_round():
    theirs = [8.0, 16.0, 9.0, 7.0, 8.0, 8.0]  # the machine was slow in the second round
    ours = [1.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    assert paired_ratio(theirs, ours) == Ratio(8.0, 7.0, 9.0)
    assert str(paired_ratio(theirs, ours)) == "8 (7 to 9)"
    assert str(paired_ratio(theirs[:5], ours[:5])) == "8"  # all are above the median by chance in
    # 1 of 32 series: no interval


@pytest.mark.parametrize("count", [6, 10, 25])
def test_intervals_hold_the_median_in_95_of_100_series(count):
    draws = np.random.default_rng(0).standard_normal((2000, count))
    found = [paired_ratio(np.exp(series).tolist(), [1.0] * count) for series in draws]
    held = np.mean([ratio.low <= 1 <= ratio.high for ratio in found])
    assert 0.94 < held < 0.99


def test_a_batch_is_coded_at_once_as_its_clips_alone(tiny_model, monkeypatch):
    system = our_system(str(tiny_model), "torch", "cpu")
    codec = Codec.load(tiny_model, device="cpu", backend="torch")
    waves = speech(7, 1.001, 16_000)
    alone = [codec.encode(wave, sample_rate_hz=16_000).to_bytes() for wave in waves]
    sizes = []
    for verb in ("encode", "decode"):
        original = getattr(TorchBackend, verb)

        def watched(self, items, bits, *noise, original=original):
            sizes.append(len(items))
            return original(self, items, bits, *noise)

        monkeypatch.setattr(TorchBackend, verb, watched)
    coded = system.encode(waves)
    assert coded[1] == alone
    heard = system.decode(coded)
    assert [audio.wave.shape for audio in heard] == [(1, 16_016)] * 7  # pyright: ignore[reportGeneralTypeIssues]
    assert sizes == [7, 7]


def test_the_script_prints_tables_and_keeps_times(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "snac", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    arguments = Arguments(
        models=(str(tiny_model),),
        backends=("torch",),
        peers=("snac",),
        clips=(1, 2),
        seconds=1.0,
        rounds=2,
        threads=torch.get_num_threads(),
        out=tmp_path / "runs" / "bench.json",
    )
    main(arguments)
    printed = capsys.readouterr().out
    assert "not timed: SNAC 24 kHz needs the package snac: pip install snac" in printed
    assert "| tiny (torch) | 1.2 kbps, to file bytes | 0.1" in printed
    assert "\n2 x 1 s, x real time (medians):\n\n| codec | encode | decode |" in printed
    one, two = json.loads((tmp_path / "runs" / "bench.json").read_text())["times"]
    assert (one["clips"], two["clips"]) == (1, 2)
    assert len(two["encode"]) == len(two["decode"]) == 2


def test_a_long_file_is_measured_in_processes_of_its_own(tiny_model, capsys):
    long_file.main(long_file.Arguments(model=str(tiny_model), backend="onnx", seconds=(2.5,)))
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["2.5"]
    for _, encode_s, encode_mb, decode_s, decode_mb in rows:
        assert min(float(encode_s), float(decode_s)) >= 0
        assert min(float(encode_mb), float(decode_mb)) > 50  # onnxruntime alone is more


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="--clips, --rounds, --threads and --seconds"):
        Arguments(clips=(0,))
    with pytest.raises(ConfigError, match="at least one model"):
        Arguments(models=())
