"""The sweep over batches: what is timed computes the same by every route, and its end is told."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from codec import Codec
from codec.backends.torch_backend import TorchBackend
from codec.checkpoint import Checkpoint
from codec.errors import ConfigError
from recipes.measure.bench import means, sweep
from recipes.measure.bench.routes import Route, our_routes, whole_frames
from recipes.measure.bench.sweep import Stop, Throughput
from recipes.measure.bench.throughput import Arguments, main
from recipes.measure.bench.throughput_report import stop_lines, throughput_ratios, throughput_table

CPU = torch.device("cpu")


def a_route(encode, codec="x") -> Route:
    return Route(
        codec=codec,
        span="network",
        sample_rate_hz=100,
        weights_mb=0,
        prepare=list,
        encode=encode,
        decode=lambda coded: coded,
    )


def point(codec, span, clips, encode_seconds, decode_seconds=1.0, memory_mb=None) -> Throughput:
    return Throughput(
        codec=codec,
        span=span,
        clips=clips,
        audio_seconds=clips * 10.0,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
        memory_mb=memory_mb,
    )


def test_all_routes_give_the_codes_of_clips_alone(tiny_model):
    product, host, network = our_routes(Checkpoint.load(tiny_model), "tiny", "cpu")
    waves = 0.1 * np.random.default_rng(0).standard_normal((3, 16_100), dtype=np.float32)
    codec = Codec.load(tiny_model, device="cpu", backend="torch")
    encoded = product.encode(product.prepare(waves))
    for clip, wave in zip(encoded, waves, strict=True):
        np.testing.assert_array_equal(clip.codes, codec.encode(wave, sample_rate_hz=16_000).codes)
    assert [audio.wave.shape for audio in product.decode(encoded)] == [(1, 16_100)] * 3  # pyright: ignore[reportGeneralTypeIssues]
    alone = np.stack(
        [codec.encode(wave[:16_000], sample_rate_hz=16_000).codes[0] for wave in waves]
    )
    for route in (host, network):
        with torch.inference_mode():
            codes = route.encode(route.prepare(waves))
            heard = route.decode(codes)
        np.testing.assert_array_equal(np.asarray(codes), alone)
        assert np.asarray(heard).shape == (3, 1, 16_000)


def test_the_product_codes_all_clips_in_one_batch(tiny_model, monkeypatch):
    product = our_routes(Checkpoint.load(tiny_model), "tiny", "cpu")[0]
    shapes = []
    for verb in ("encode", "decode"):
        original = getattr(TorchBackend, verb)

        def watched(self, items, bits, *noise, original=original):
            shapes.append(len(items))
            return original(self, items, bits, *noise)

        monkeypatch.setattr(TorchBackend, verb, watched)
    product.decode(product.encode(product.prepare(np.zeros((7, 16_001), np.float32))))
    assert shapes == [7, 7]


def test_batches_double_until_memory_ends_or_time_or_what_was_asked_for(monkeypatch):
    sizes = []

    def short_of_memory(clips):
        sizes.append(len(clips))
        if len(clips) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return clips

    def broken(clips):
        raise RuntimeError("no kernel\nfor this device")

    def fine(clips):
        return clips

    monkeypatch.setattr(sweep, "interleaved", lambda tasks, _: [0.1] * len(tasks))
    found, stops = sweep.sweep(
        [a_route(short_of_memory), a_route(broken, "y"), a_route(fine, "z")],
        CPU,
        2.0,
        most_clips=20,
        repeats=1,
    )
    assert [p.clips for p in found if p.codec == "x"] == [1, 2, 4]
    assert [p.clips for p in found if p.codec == "z"] == [1, 2, 4, 8, 16]
    assert found[-1].encode == pytest.approx(
        16 * 2.0 / 0.1 / 60
    )  # seconds a second are hours an hour: a 60th a minute
    assert found[-1].memory_mb is None
    assert list(stop_lines(stops)) == [
        "y, network alone: up to 0 clips: no kernel",
        "x, network alone: up to 4 clips: out of memory",
        "z, network alone: up to 16 clips: no more asked for",
    ]
    assert sizes == [1, 2, 4, 8]

    monkeypatch.setattr(sweep, "interleaved", lambda tasks, _: [0.1, 1.5])
    found, stops = sweep.sweep([a_route(fine)], CPU, 2.0, most_clips=20, repeats=1)
    assert (len(found), stops) == (
        1,
        [Stop(codec="x", span="network", clips=1, reason="a call takes more than 1 s")],
    )


def test_ours_and_peers_are_compared_each_at_its_best():
    found = [
        point("diveq-codec a", "product", 2, 2.0),
        point("diveq-codec a", "product", 1, 0.5),
        point("diveq-codec a", "network", 1, 0.25),
        point("DAC", "host", 1, 10.0, 2.0),
        point("DAC", "network", 4, 10.0, 2.0, memory_mb=1234.4),
    ]
    assert list(throughput_ratios(found)) == [
        {"ours": "diveq-codec a", "peer": "DAC", "span": "product", "encode": 20.0, "decode": 4.0},
        {"ours": "diveq-codec a", "peer": "DAC", "span": "network", "encode": 10.0, "decode": 0.5},
    ]
    lines = throughput_table(found).splitlines()
    assert lines[2] == "| diveq-codec a | encode_batch, decode_batch | 1 | 0.333 | 0.167 |  |"
    assert lines[-1] == "| DAC | network alone | 4 | 0.0667 | 0.333 | 1234 |"


def test_bf16_searches_in_float32_and_counts_what_it_changes(tiny_model):
    checkpoint = Checkpoint.load(tiny_model)
    waves = 0.1 * np.random.default_rng(0).standard_normal((2, 16_000), dtype=np.float32)
    gains, failed = means.measure_means(
        checkpoint, ["as the product", "bf16", "graphs"], CPU, waves, 1
    )
    plain, bf16 = gains
    assert (plain.codes_differ, plain.wave_differs) == (0, 0)
    assert 0 < bf16.first_codes_differ < 1
    assert 0 < bf16.wave_differs < 0.1
    assert list(failed) == ["graphs"]


def test_whole_frames_cut_off_the_rest():
    assert whole_frames(np.zeros((3, 1000), np.float32), 320).shape == (3, 1, 960)


def test_the_script_prints_tables_and_writes_json(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    arguments = Arguments(
        device="cpu",
        model=str(tiny_model),
        seconds=1,
        most_clips=2,
        means=("as the product",),
        repeats=1,
        out=tmp_path,
    )
    main(arguments)
    result = json.loads((tmp_path / "throughput.json").read_text())
    assert [(p["span"], p["clips"]) for p in result["throughputs"]] == [
        (span, clips) for clips in (1, 2) for span in ("product", "host", "network")
    ]
    for measured in result["throughputs"]:
        assert measured["decode"] == pytest.approx(
            measured["clips"] / measured["decode_seconds"] / 60
        )
    assert (
        result["skipped"]["DAC 16 kHz"]
        == "DAC 16 kHz needs the package transformers: pip install transformers"
    )
    printed = capsys.readouterr().out
    assert "not measured: EnCodec 24 kHz: EnCodec 24 kHz needs the package transformers" in printed
    assert "| as the product | " in printed
    assert (tmp_path / "throughput.md").read_text() == printed


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="magic is unknown; known: as the product, bf16"):
        Arguments(means=("magic",))
    with pytest.raises(ConfigError, match="--device names the device"):
        Arguments(device="auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_told(tiny_model):
    with pytest.raises(ConfigError, match="device 'cuda' is not available here"):
        main(Arguments(model=str(tiny_model)))
