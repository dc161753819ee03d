"""Work is counted, never timed: multiply-adds of presets against recorded bounds and against peers;
and the tables.
"""

from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn

from codec.errors import ConfigError, DiveqCodecError
from codec.layouts.presets import PRESETS
from codec.model import FilterbankEncoder
from recipes.measure.bench import growth, shares, timing
from recipes.measure.bench.__main__ import Arguments, main
from recipes.measure.bench.candidates import random_checkpoint
from recipes.measure.bench.one_file import Cost
from recipes.measure.bench.report import draw_growth, growth_table, ratio_lines, ratios
from recipes.measure.bench.timing import Speed
from recipes.measure.bench.work import Work, count, model_work

# Millions per second of audio: multiply-adds, and values allocated, of each part of a preset. A
# change that needs more is seen here; one that needs less should lower the number.
# `model_work(PRESETS[...]())` counts them.
BOUNDS = {
    "speech_16khz": {
        "encoder": (160, 0.953),
        "search": (7.8, 0.083),
        "lookup": (1.45, 0.04),
        "decoder": (231, 1.75),
    },
    "speech_24khz": {
        "encoder": (240, 1.43),
        "search": (8.1, 0.11),
        "lookup": (1.6, 0.043),
        "decoder": (347, 2.62),
    },
}
# How many times our default's multiply-adds a peer needs at least: to encode, to decode.
LEAST_RATIOS = {"DAC 16 kHz": (73, 119), "EnCodec 24 kHz": (9.3, 6.4)}


@pytest.mark.parametrize("preset", BOUNDS)
def test_presets_need_no_more_work_than_recorded(preset):
    found = model_work(PRESETS[preset]())
    for part, (multiply_adds, values) in BOUNDS[preset].items():
        work = getattr(found, part)
        assert work.multiply_adds <= multiply_adds * 1e6, part
        assert work.values <= values * 1e6, part
    assert found.search.multiply_adds < 0.05 * found.encode


def test_the_default_needs_a_fraction_of_its_peers_work():
    ours = model_work(PRESETS["speech_16khz"]())
    for peer, (encode, decode) in {
        "DAC 16 kHz": dac_work(),
        "EnCodec 24 kHz": encodec_work(),
    }.items():
        assert encode / ours.encode >= LEAST_RATIOS[peer][0], peer
        assert decode / ours.decode >= LEAST_RATIOS[peer][1], peer


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
    from recipes.measure.bench.candidates import peer_candidate
    from recipes.measure.compare.neural import DAC, ENCODEC

    for layout, expected in ((DAC, dac_work()), (ENCODEC, encodec_work())):
        candidate = peer_candidate(layout)
        assert (candidate.encode_work, candidate.decode_work) == pytest.approx(
            expected, rel=2e-3
        ), layout.family


def test_work_is_that_of_the_layers_shapes():
    """100 samples through a strided, a dilated, a transposed convolution, a linear layer and an
    LSTM.
    """
    layers = nn.Sequential(
        nn.Conv1d(3, 8, 5, stride=5), nn.Conv1d(8, 6, 3, dilation=2), nn.ConvTranspose1d(6, 4, 4, 2)
    )
    linear, lstm = nn.Linear(34, 7), nn.LSTM(7, 9, num_layers=2)
    model = nn.ModuleList([layers, linear, lstm])
    found = count(model, lambda: lstm(linear(layers(torch.zeros(2, 3, 100)))))
    convolutions = 20 * 8 * 3 * 5 + 16 * 6 * 8 * 3 + 16 * 6 * 4 * 4
    steps = 2 * 4
    assert found.multiply_adds == 2 * convolutions + steps * (
        34 * 7 + 4 * 9 * (7 + 9) + 4 * 9 * (9 + 9)
    )


def test_allocated_values_are_counted_but_not_views():
    x = torch.zeros(10)
    module = nn.Identity()
    assert count(module, lambda: x[2:].reshape(2, 4)).values == 0
    assert count(module, lambda: x.add_(1)).values == 0
    assert count(module, lambda: x[2:] + 1).values == 8
    assert Work(multiply_adds=6, values=4) / 2 == Work(multiply_adds=3, values=2)


def test_rounds_take_turns_and_the_median_counts(monkeypatch):
    clock, calls = [0.0], []
    durations = {"a": iter([1.0, 9.0, 2.0]), "b": iter([4.0, 4.0, 5.0])}

    def task(name):
        calls.append(name)
        clock[0] += next(durations[name])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    assert timing.interleaved([lambda: task("a"), lambda: task("b")], repeats=3) == [2.0, 4.0]
    assert calls == ["a", "b"] * 3


def test_ratios_compare_ours_with_each_peer_at_each_length():
    def speed(name, encode_seconds, seconds=10.0):
        return Speed(name=name, seconds=seconds, encode_seconds=encode_seconds, decode_seconds=1.0)

    found = list(
        ratios(
            [speed("diveq-codec x", 1.0), speed("DAC 16 kHz", 8.0), speed("DAC 16 kHz", 9.0, 60.0)]
        )
    )
    assert found == [
        {
            "ours": "diveq-codec x",
            "peer": "DAC 16 kHz",
            "seconds": 10.0,
            "encode": 8.0,
            "decode": 1.0,
            "goal": 15.0,
        }
    ]
    assert list(ratio_lines(found)) == [
        "diveq-codec x is 8.0 and 1.0 times as fast as DAC 16 kHz to encode and decode 10 s (goal "
        "15)"
    ]


def test_growth_varies_one_thing_at_a_time():
    points = list(growth.settings([1.0, 60.0], most_stages=4, threads=2))
    base = growth.Setting(stages=4, threads=2)
    for axis, setting in points:
        changed = [
            name
            for name in ("seconds", "stages", "threads", "channels")
            if getattr(setting, name) != getattr(base, name)
        ]
        assert changed in ([], [axis])
    assert [setting.stages for axis, setting in points if axis == "stages"] == [1, 2, 4]


def test_growth_is_shown_in_a_table_and_a_picture():
    cost = Cost(elapsed_s=0.5, peak_mb=400.4, ready_mb=300.0)
    points = [
        growth.Point(axis, setting, cost, cost)
        for axis, setting in growth.settings([1.0, 60.0], 4, 2)
    ]
    assert (
        growth_table(points).splitlines()[2]
        == "| seconds | 1 | 4 | 2 | 1 | 2.0 | 400 | 2.0 | 400 |"
    )
    assert len(draw_growth(points, "title").axes) == 8


def test_a_file_s_cost_is_measured_in_a_process_of_its_own(tiny_model, tmp_path):
    setting = growth.Setting(seconds=0.5, stages=2, channels=2)
    for cost in growth._costs(setting, tiny_model, 16_000, "torch"):
        assert cost.peak_mb >= cost.ready_mb > 50  # PyTorch alone is more
        assert cost.elapsed_s > 0
    with pytest.raises(DiveqCodecError, match=r"encode of Setting\(.*none.wav: No such file"):
        growth._run(
            "encode", tiny_model, tmp_path / "none.wav", tmp_path / "out.dvq", setting, "torch"
        )


def test_shares_add_up_and_leave_the_classes_as_they_were():
    from codec.training.validation import codec_of

    before = dict(vars(FilterbankEncoder))
    codec = codec_of(random_checkpoint(PRESETS["tiny"]()), device="cpu")
    found = shares.encode_shares(codec, seconds=1.0, repeats=1)
    assert list(found) == [*shares.PARTS, shares.REST]
    assert all(share > 0 for share in found.values())
    assert sum(found.values()) == pytest.approx(1)
    assert dict(vars(FilterbankEncoder)) == before


def test_the_script_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "snac", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    threads = torch.get_num_threads()
    main(
        Arguments(
            short=True, threads=threads, presets=("tiny",), peers=("snac",), repeats=1, out=tmp_path
        )
    )
    result = json.loads((tmp_path / "bench.json").read_text())
    assert [codec["name"] for codec in result["codecs"]] == ["diveq-codec tiny"]
    assert result["skipped"] == {
        "SNAC 24 kHz": "SNAC 24 kHz needs the package snac: pip install snac"
    }
    (speed,) = result["speeds"]
    assert speed["encode"] == pytest.approx(10 / speed["encode_seconds"])
    printed = capsys.readouterr().out
    assert "| diveq-codec tiny | 1.2 kbps, to and from file bytes | 0.1 |" in printed
    assert (tmp_path / "bench.md").read_text() == printed


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="tyni is unknown; known: speech_16khz, "):
        Arguments(presets=("tyni",))
