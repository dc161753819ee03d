"""Encoder and decoder for calls: packets of any rates and lengths, in any blocks, with losses,
changes and copies.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_models import started_checkpoint, tiny_noisy
from synthesis import synthesize_speech

from codec import BitstreamError, Codec, ConfigError
from codec.bitstream import NONE
from codec.streams.live_allocation import LiveAllocation

from .test_frame_coders import assert_near

FRAME = 0.02


@pytest.fixture(scope="module")
def codec():
    return Codec(started_checkpoint(tiny_noisy()), name="tiny", device="cpu", backend="onnx")


@pytest.fixture(scope="module")
def wave():
    return synthesize_speech(3.0, seed=4)


def packets_of(encoder, wave, *, block=1000):
    pieces = np.split(wave, range(block, wave.shape[-1], block), axis=-1)
    return [packet for piece in pieces for packet in encoder.push(piece)] + encoder.flush()


def codes_of(encoder, packets):
    return np.concatenate([encoder.live.unpack(packet).codes for packet in packets], axis=2)


def wave_of(decoder, packets):
    return np.concatenate([*(decoder.push(packet) for packet in packets), decoder.flush()], axis=-1)


def test_packets_hold_the_codes_of_the_file_and_decode_as_it_does(codec, wave):
    encoder, decoder = (
        codec.live_encoder(sample_rate_hz=16_000),
        codec.live_decoder(sample_rate_hz=16_000),
    )
    packets = packets_of(encoder, wave)
    expected = codec.encode(np.pad(wave, (0, -len(wave) % 960)), sample_rate_hz=16_000)
    codes = codes_of(encoder, packets)
    assert (codes != expected.codes).any(axis=1).mean() <= 0.02
    assert_near(
        wave_of(decoder, packets), codec.decode(dataclasses.replace(expected, codes=codes)).wave[0]
    )


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([8000, 16_000, 48_000]),
    st.sampled_from([20, 40, 60, 120]),
)
def test_nothing_depends_on_the_blocks(codec, wave, seed, rate, packet_ms):
    rng = np.random.default_rng(seed)

    def encoder():
        return codec.live_encoder(
            sample_rate_hz=rate, bitrate_kbps=0.6, packet_ms=packet_ms, copies=1, dtx=True
        )

    whole = encoder()
    at_once = whole.push(wave[:16_000]) + whole.flush()
    pieces, made, start = encoder(), [], 0
    while start < 16_000:
        size = int(rng.integers(0, 900))
        made += pieces.push(wave[start : min(start + size, 16_000)])
        start += size
        assert (
            len(made) * packet_ms / 1000
            >= min(start, 16_000) / rate - pieces.latency_seconds - packet_ms / 1000
        )
    assert made + pieces.flush() == at_once
    decoder = codec.live_decoder(sample_rate_hz=rate)
    heard = wave_of(decoder, at_once)
    assert len(heard) == -(-len(at_once) * packet_ms * rate // 1000)


def test_an_excitation_costs_a_frame_of_latency(codec):
    checkpoint = started_checkpoint(tiny_noisy(excitation_bands=1))
    excited = Codec(checkpoint, name="excited", device="cpu", backend="onnx")
    latencies = [
        (one.live_encoder(sample_rate_hz=16_000), one.live_decoder(sample_rate_hz=16_000))
        for one in (codec, excited)
    ]
    (encoding, decoding), (excited_encoding, excited_decoding) = [
        tuple(end.latency_seconds for end in ends) for ends in latencies
    ]
    assert excited_encoding == encoding
    assert excited_decoding == pytest.approx(decoding + FRAME)


def test_latency_is_what_both_ends_promise(codec, wave):
    """With 20 ms packets: each sample is out that long after it went in, and not one sample is
    late.
    """
    encoder = codec.live_encoder(sample_rate_hz=16_000, packet_ms=20)
    decoder = codec.live_decoder(sample_rate_hz=16_000)
    promised = encoder.latency_seconds + decoder.latency_seconds
    assert promised == pytest.approx(0.080)
    out = 0
    for given_samples in range(160, 16_001, 160):
        for packet in encoder.push(wave[given_samples - 160 : given_samples]):
            out += len(decoder.push(packet))
        assert given_samples - out <= promised * 16_000
    assert codec.live_encoder(sample_rate_hz=16_000, packet_ms=60).latency_seconds == pytest.approx(
        0.090
    )
    assert codec.live_encoder(sample_rate_hz=48_000, packet_ms=20).latency_seconds == pytest.approx(
        0.053
    )


def test_lost_packets_are_made_up_in_their_length(codec, wave):
    encoder = codec.live_encoder(sample_rate_hz=16_000)
    packets = packets_of(encoder, wave)
    lossy = [None if number % 5 == 3 else packet for number, packet in enumerate(packets)]
    heard = wave_of(codec.live_decoder(sample_rate_hz=16_000), lossy)
    whole = wave_of(codec.live_decoder(sample_rate_hz=16_000), packets)
    assert len(heard) == len(whole)
    assert np.isfinite(heard).all()
    assert np.abs(heard - whole).max() > 0.01 * np.abs(whole).max()
    assert codec.live_decoder(sample_rate_hz=16_000).push(None).shape == (0,)


def test_a_copy_of_either_end_goes_on_alike(codec, wave):
    encoder = codec.live_encoder(sample_rate_hz=24_000, bitrate_kbps=0.9)
    decoder = codec.live_decoder(sample_rate_hz=48_000)
    for packet in encoder.push(wave[:20_000]):
        decoder.push(packet)
    other_encoder, other_decoder = encoder.copy(), decoder.copy()
    packets = encoder.push(wave[20_000:]) + encoder.flush()
    assert other_encoder.push(wave[20_000:]) + other_encoder.flush() == packets
    assert_near(wave_of(other_decoder, packets), wave_of(decoder, packets))


def test_two_channels_are_coded_each_by_itself(codec, wave):
    both = np.stack([wave, 0.1 * wave[::-1]])
    encoder = codec.live_encoder(sample_rate_hz=16_000, channels=2)
    packets = packets_of(encoder, both)
    codes = codes_of(encoder, packets)
    for channel in range(2):
        single = codec.live_encoder(sample_rate_hz=16_000)
        np.testing.assert_array_equal(
            codes[channel : channel + 1], codes_of(single, packets_of(single, both[channel]))
        )
    heard = wave_of(codec.live_decoder(sample_rate_hz=16_000, channels=2), packets)
    assert heard.shape == (2, codes.shape[2] * 320)
    with pytest.raises(ConfigError, match="takes 2 channels, not 1"):
        encoder.push(wave)


def test_the_rate_changes_between_packets(codec, wave):
    encoder = codec.live_encoder(sample_rate_hz=16_000, bitrate_kbps=0.3)
    low = encoder.push(np.tile(wave, 3))
    encoder.bitrate_kbps = 1.2
    high = encoder.push(np.tile(wave, 3))
    assert sum(map(len, high)) > 1.5 * sum(map(len, low))


@pytest.mark.parametrize(("frames_per_latent", "depths"), [(1, (2, 1)), (2, (4, 2))])
def test_copies_are_the_first_stages_of_the_packets_before(wave, frames_per_latent, depths):
    """As many bits a second at any frame rate."""
    config = tiny_noisy(frames_per_latent=frames_per_latent)
    config = dataclasses.replace(config, stages=config.stages * frames_per_latent)
    codec = Codec(started_checkpoint(config), name="tiny", device="cpu", backend="onnx")
    encoder = codec.live_encoder(sample_rate_hz=16_000, packet_ms=120, copies=2)
    packets = [encoder.live.unpack(packet) for packet in packets_of(encoder, wave)]
    for number in range(2, len(packets)):
        for copy, ago, depth in zip(packets[number].copies, (1, 2), depths, strict=True):
            np.testing.assert_array_equal(copy[:, :depth], packets[number - ago].codes[:, :depth])
            assert (copy[:, depth:] == NONE).all()


def test_pauses_take_no_bits_with_dtx(codec, wave):
    pause = 1e-5 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    speech = np.concatenate([wave, pause, wave])
    sizes = []
    for dtx in (False, True):
        encoder = codec.live_encoder(sample_rate_hz=16_000, bitrate_kbps=0.9, dtx=dtx)
        sizes.append([len(packet) for packet in packets_of(encoder, speech)])
    silent = sizes[1][55:80]
    assert set(silent) == {3}
    assert min(sizes[0]) > 3


def test_an_infinite_bitrate_is_no_limit(codec, wave):
    endless, free = (
        codec.live_encoder(sample_rate_hz=16_000, bitrate_kbps=kbps) for kbps in (np.inf, None)
    )
    assert packets_of(endless, wave) == packets_of(free, wave)


def test_the_largest_copies_fit(codec):
    """Of 27 channels: 2 stages of 6 bits, 6 frames, 27·2 groups."""
    encoder = codec.live_encoder(sample_rate_hz=16_000, channels=27, packet_ms=120, copies=1)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (27, 8000))
    last = encoder.live.unpack(packets_of(encoder, noise)[-1])
    assert (last.copies[0][:, :2] != NONE).all()


@pytest.mark.parametrize("kbps", [0.3, 0.5, 0.9])
def test_the_bitrate_is_kept_on_average_and_nearly_at_any_time(kbps):
    rng = np.random.default_rng(1)
    levels = np.repeat(rng.uniform(-70, -15, 400), 15)
    allocation = LiveAllocation([6] * 4, frame_rate_hz=50, bitrate_kbps=kbps, least_depth=1)
    depths = np.concatenate(
        [allocation.depths(10 ** (group / 10)) for group in np.split(levels, 2000)]
    )
    bits = 6.0 * depths * 50 / 1000  # kbps of each frame
    assert bits.mean() <= kbps * 1.001 + 1e-9
    assert bits.mean() >= kbps * 0.93
    seconds = np.convolve(bits, np.ones(500) / 500, "valid")  # ten seconds each
    assert seconds.max() <= kbps * 1.15
    loud, quiet = depths[levels > -25].mean(), depths[levels < -55].mean()
    assert loud > quiet + 0.2 or kbps == 0.3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"packet_ms": 10}, "lasts 20 to 120 ms, not 10"),
        ({"packet_ms": 50}, "whole frames of 20 ms, so not 50 ms"),
        ({"bitrate_kbps": 0.1}, "at least 0.3 kbps, not 0.1"),
        ({"sample_rate_hz": 0}, "1000 to 768000 Hz, not 0"),
        ({"channels": 0}, "1 to 255 channels, not 0"),
        ({"copies": 16}, "0 to 15 copies, not 16"),
        ({"copies": 1, "channels": 28, "packet_ms": 120}, "copy of 28 channels of 120 ms does not"),
    ],
)
def test_what_cannot_be_is_named(codec, arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        codec.live_encoder(**({"sample_rate_hz": 16_000} | arguments))


def test_a_damaged_packet_is_refused_and_changes_nothing(codec, wave):
    encoder, decoder = (
        codec.live_encoder(sample_rate_hz=16_000),
        codec.live_decoder(sample_rate_hz=16_000),
    )
    packets = packets_of(encoder, wave)
    decoder.push(packets[0])
    other = decoder.copy()
    with pytest.raises(BitstreamError, match="damaged"):
        decoder.push(packets[1][:-1] + bytes([packets[1][-1] ^ 1]))
    np.testing.assert_array_equal(decoder.push(packets[1]), other.push(packets[1]))
