"""A stream in pieces of any sizes gives what one pass gives, on both backends; nothing depends on
what comes later.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_models import started_checkpoint, tiny_filterbank, tiny_noisy, tiny_transform
from synthesis import synthesize_speech

from codec import ConfigError
from codec.backends.onnx.onnx_backend import OnnxBackend
from codec.backends.torch_backend import TorchBackend
from codec.checkpoint import Checkpoint
from codec.layouts.config import LOST
from codec.layouts.noise import decoder_noise
from codec.model import CodecModel
from codec.streams.frame_coders import FrameDecoder, FrameEncoder

TOLERANCE = 1e-4  # of the largest sample; sums are taken in another order
CONFIGS = {
    "centred": tiny_transform(),
    "noisy": tiny_noisy(),
    "noise within": tiny_noisy(noise_bands=0),
    "causal": tiny_noisy(encoder_look_ahead=(0, 0), decoder_look_ahead=(0, 0, 0), kernel=5),
    "far": tiny_noisy(encoder_look_ahead=(2, 0), decoder_look_ahead=(2, 1, 0), level_look_ahead=1),
    "no blocks": tiny_transform(encoder_blocks=0, decoder_blocks=0),
    "excited": tiny_noisy(excitation_bands=1),
    "two frames a latent": tiny_noisy(frames_per_latent=2, excitation_bands=1),
    "three frames a latent": tiny_transform(frames_per_latent=3),
    "excitation alone": tiny_transform(encoder_blocks=0, decoder_blocks=0, excitation_bands=2),
}


@pytest.fixture(scope="module")
def networks():
    made = {}

    def networks(name, backend):
        if (name, backend) not in made:
            made[name, backend] = backend(started_checkpoint(CONFIGS[name]), "cpu")
        return made[name, backend]

    return networks


def assert_near(made, expected):
    np.testing.assert_allclose(made, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def pieces(rng, length, most):
    """Ends of pieces of random sizes, some of them empty."""
    ends = []
    while not ends or ends[-1] < length:
        ends.append(min(length, (ends[-1] if ends else 0) + int(rng.integers(0, most))))
    return list(zip([0, *ends[:-1]], ends, strict=True))


both = pytest.mark.parametrize("backend", [TorchBackend, OnnxBackend])
each = pytest.mark.parametrize("name", CONFIGS)


@each
@both
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_codes_of_any_pieces_are_those_of_one_pass(networks, name, backend, seed):
    rng, network, config = np.random.default_rng(seed), networks(name, backend), CONFIGS[name]
    samples = int(rng.integers(1, 8000))
    wave = np.stack([synthesize_speech(0.5, seed=seed % 1000)] * 2)[:, :samples]
    wave[1] *= 0.1
    padded = np.pad(wave, [(0, 0), (0, -samples % config.hop)])
    expected = network.encode(padded[:, None], [0] * 4)
    encoder = FrameEncoder(network, config, channels=2)
    made = [encoder.push(wave[:, start:end]) for start, end in pieces(rng, samples, 1500)]
    made.append(encoder.flush())
    codes = np.concatenate(made, axis=2)
    assert codes.shape == expected.shape
    assert (codes != expected).any(axis=1).mean() <= 0.02  # a latent half-way between two codewords


@each
@both
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_samples_of_any_pieces_are_those_of_one_pass(networks, name, backend, seed):
    rng, network, config = np.random.default_rng(seed), networks(name, backend), CONFIGS[name]
    frames = int(rng.integers(1, 40))
    codes = rng.integers(0, 64, (2, 4, frames)).astype(np.int32)
    codes[0, :, rng.random(frames) < 0.2] = -1
    if config.conceals:
        codes[:, :, rng.random(frames) < 0.2] = LOST
    noise = decoder_noise(0, frames, config.noise_values)[None]
    expected = network.decode(codes, [0] * 4, noise)[:, 0]
    decoder = FrameDecoder(network, config, channels=2)
    made = [decoder.push(codes[:, :, start:end]) for start, end in pieces(rng, frames, 6)]
    made.append(decoder.flush())
    assert_near(np.concatenate(made, axis=1), expected)


@each
def test_both_backends_take_each_others_state(networks, name):
    config = CONFIGS[name]
    codes = np.random.default_rng(1).integers(0, 64, (1, 4, 30)).astype(np.int32)
    decoder = FrameDecoder(networks(name, TorchBackend), config, channels=1)
    decoder.push(codes[..., :11])
    other = copy.copy(decoder)
    other._network = networks(name, OnnxBackend)
    for start in range(11, 30, 3):
        piece = codes[..., start : start + 3]
        assert_near(other.push(piece), decoder.push(piece))


@each
def test_a_copy_goes_on_alike(networks, name):
    wave = synthesize_speech(1.0, seed=3)[None]
    encoder = FrameEncoder(networks(name, TorchBackend), CONFIGS[name], channels=1)
    encoder.push(wave[:, :7001])
    other = copy.copy(encoder)
    expected = encoder.push(wave[:, 7001:])
    np.testing.assert_array_equal(other.push(wave[:, 7001:]), expected)


@each
def test_latency_is_what_the_layers_say(networks, name):
    """A sample comes out as many samples after it went in, at the latest, as both ends say."""
    config, network = CONFIGS[name], networks(name, TorchBackend)
    encoder = FrameEncoder(network, config, channels=1)
    decoder = FrameDecoder(network, config, channels=1)
    delay = encoder.latency_samples + decoder.latency_samples
    wave = synthesize_speech(1.0, seed=3)[None]
    given_samples = made = latest = 0
    for start in range(0, 16_000, 80):
        given_samples += 80
        made += decoder.push(encoder.push(wave[:, start : start + 80])).shape[1]
        latest = max(latest, given_samples - made)
    assert delay - 160 < latest <= delay


def test_the_filterbank_layout_is_refused():
    config = tiny_filterbank()
    network = TorchBackend(Checkpoint(config=config, weights=_weights(config)), "cpu")
    with pytest.raises(ConfigError, match="transform layout"):
        FrameEncoder(network, config, channels=1)


def _weights(config):
    return {
        name: value.detach().numpy() for name, value in CodecModel.plain(config).named_parameters()
    }
