"""PyTorch and onnxruntime compute the same codes and waves from the same model file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from conftest import make_checkpoint
from nearness import assert_nearest
from real_speech import SAMPLES
from small_models import tiny_filterbank, tiny_noisy, tiny_transform
from synthesis import synthesize_speech

from codec import CheckpointError, Codec, ConfigError
from codec.backends import load_backend
from codec.backends.onnx.onnx_backend import OnnxBackend
from codec.backends.torch_backend import TorchBackend, tf32
from codec.checkpoint import Checkpoint
from codec.layouts.config import LOST, ModelConfig, StageConfig
from codec.layouts.noise import decoder_noise
from codec.layouts.presets import PRESETS, tiny
from codec.model import CodecModel
from codec.model_lookup import DEFAULT_MODEL, find_model
from codec.training.validation import read_clip

WAVE_TOLERANCE = 1e-5  # waves of level 1; both sum in float32, in their own order


@pytest.fixture(scope="module")
def waves() -> np.ndarray:
    return np.stack([synthesize_speech(2.0, seed=seed) for seed in range(2)])[:, None]


def both(checkpoint: Checkpoint) -> tuple[TorchBackend, OnnxBackend]:
    return TorchBackend(checkpoint, "cpu"), OnnxBackend(checkpoint, "cpu")


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    torch.manual_seed(3)
    model = CodecModel(config).folded()
    return Checkpoint(
        config=config, weights={name: value.numpy() for name, value in model.named_parameters()}
    )


def assert_equal_on(checkpoint: Checkpoint, waves: np.ndarray, position_bits: list[int]) -> None:
    torch_backend, onnx_backend = both(checkpoint)
    codes = torch_backend.encode(waves, position_bits)
    other_codes = onnx_backend.encode(waves, position_bits)
    assert (codes.dtype, other_codes.dtype) == (np.int32, np.int32)
    np.testing.assert_array_equal(other_codes, codes)
    wave = torch_backend.decode(codes, position_bits)
    np.testing.assert_allclose(
        onnx_backend.decode(codes, position_bits), wave, rtol=0, atol=WAVE_TOLERANCE
    )
    assert wave.std() > 10 * WAVE_TOLERANCE


@pytest.mark.parametrize("stages", [1, 3, 4])
def test_any_first_stages(waves, stages):
    assert_equal_on(make_checkpoint(), waves, [0] * stages)


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
def test_stages_that_frames_do_not_have_add_nothing(waves, kind):
    """Frames of one, two, … stages are pieced together from the latents of so many stages for
    all.
    """
    checkpoint = make_checkpoint(kind)
    torch_backend, onnx_backend = both(checkpoint)
    bits = [int(kind == "sf_diveq")] * 4
    codes = torch_backend.encode(waves, bits)
    depths = np.arange(codes.shape[2]) % 4 + 1
    varied = np.where(np.arange(4)[:, None] < depths, codes, -1)
    quantizer = torch_backend.model.quantizer
    latent = torch.stack(
        [quantizer.decode(torch.from_numpy(codes[:, :n]).long(), bits[:n]) for n in range(1, 5)]
    )
    expected = torch_backend.model.decoder(
        latent[depths - 1, :, :, np.arange(len(depths))].permute(1, 2, 0)
    )
    for backend in (torch_backend, onnx_backend):
        np.testing.assert_allclose(
            backend.decode(varied, bits), expected.numpy(), rtol=0, atol=WAVE_TOLERANCE
        )


@pytest.mark.parametrize("position_bits", [0, 1, 3])
def test_positions_on_curves(waves, position_bits):
    assert_equal_on(make_checkpoint("sf_diveq"), waves, [position_bits] * 3)


def test_stages_of_different_kinds_and_sizes(waves):
    stages = (
        StageConfig(bits=5, dim=3),
        StageConfig(kind="sf_diveq", bits=4, dim=6),
        StageConfig(kind="sf_diveq", bits=1, dim=1),
    )
    assert_equal_on(random_checkpoint(dataclasses.replace(tiny(), stages=stages)), waves, [0, 2, 1])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset(preset):
    """Its layout, but small."""
    config = PRESETS[preset]()
    small = {"transform": {"width": 8}, "filterbank": {"encoder_width": 4, "decoder_width": 32}}
    layout = {
        name: dataclasses.replace(getattr(config, name), **changes)
        for name, changes in small.items()
        if getattr(config, name)
    }
    config = dataclasses.replace(
        config, latent_channels=16, stages=(StageConfig(bits=4, dim=4),) * 2, **layout
    )
    samples = np.random.default_rng(0).standard_normal((2, 1, 40 * config.hop)).astype(np.float32)
    assert_equal_on(random_checkpoint(config), samples, [0, 0])


@pytest.mark.parametrize(
    "config",
    [
        tiny_filterbank(causal=True),
        tiny_filterbank(frontend_kernel=7, frontend_stride=1),
        tiny_filterbank(
            frontend_kernel=9,
            frontend_stride=8,
            strides=(3, 2),
            dilations=(1, 2, 5),
            residual_kernel=5,
        ),
        tiny_transform(),
        tiny_transform(
            bands=(3, 7), width=40, encoder_blocks=0, decoder_blocks=1, kernel=7, expansion=2
        ),
        tiny_noisy(),
        tiny_noisy(encoder_look_ahead=(), noise_channels=0),
        tiny_noisy(noise_bands=0),
        tiny_transform(excitation_bands=2),
        tiny_transform(frames_per_latent=3),
        tiny_noisy(frames_per_latent=2, excitation_bands=1),
    ],
)
def test_other_layouts(config):
    samples = np.random.default_rng(0).standard_normal((1, 1, 40 * config.hop)).astype(np.float32)
    assert_equal_on(random_checkpoint(config), samples, [0] * 4)


@pytest.mark.parametrize(
    "changes", [{}, {"excitation_bands": 1}, {"frames_per_latent": 2}], ids=["", "excited", "two"]
)
def test_noise_and_lost_frames(waves, changes):
    """Both backends take noise of each clip or for all; the codes of a lost frame are not heard."""
    config = tiny_noisy(**changes)
    checkpoint = random_checkpoint(config)
    checkpoint.weights["decoder.unknown"][:] = 0.1
    torch_backend, onnx_backend = both(checkpoint)
    codes = torch_backend.encode(waves, [0] * 4)
    frames = codes.shape[2]
    each = np.stack([decoder_noise(first, frames, config.noise_values) for first in (0, 7)])
    lost = codes.copy()
    lost[:, :, 20:30] = LOST
    other = codes.copy()
    other[:, :, 20:30] = 0
    heard = []
    for given, noise in [
        (codes, each),
        (codes, each[:1]),
        (codes, None),
        (lost, each[:1]),
        (other, each[:1]),
    ]:
        heard.append(torch_backend.decode(given, [0] * 4, noise))
        np.testing.assert_allclose(
            onnx_backend.decode(given, [0] * 4, noise), heard[-1], rtol=0, atol=WAVE_TOLERANCE
        )
    with_own, with_first, without, with_lost, with_other = heard
    np.testing.assert_array_equal(without, with_first)
    np.testing.assert_allclose(with_own[0], with_first[0], rtol=0, atol=WAVE_TOLERANCE)
    assert np.abs(with_own[1] - with_first[1]).max() > 10 * WAVE_TOLERANCE
    assert np.abs(with_lost - with_other).max() > 10 * WAVE_TOLERANCE


@torch.inference_mode()
def assert_codes_are_nearest(
    checkpoint: Checkpoint, waves: np.ndarray, position_bits: list[int]
) -> None:
    """Of both backends, to the latents that PyTorch computes."""
    torch_backend, onnx_backend = both(checkpoint)
    latent = torch_backend.model.encoder(torch.from_numpy(waves))
    for backend in (torch_backend, onnx_backend):
        codes = torch.from_numpy(backend.encode(waves, position_bits))
        assert_nearest(torch_backend.model.quantizer, latent, codes, position_bits, tolerance=1e-5)


def test_the_finest_positions_are_the_nearest_points():
    """Of 128 positions per segment several are equally near within the rounding of floats, so codes
    may differ.
    """
    assert_codes_are_nearest(
        make_checkpoint("sf_diveq"), synthesize_speech(2.0, seed=5)[None, None], [7]
    )


def test_codes_of_real_speech_are_the_nearest_entries():
    clip = SAMPLES / "sandypanda-algan-s3_0002.flac"  # has a tie
    shipped = Checkpoint.load(find_model(DEFAULT_MODEL))
    assert_codes_are_nearest(
        shipped, read_clip(clip, 16_000)[None, None], [0] * len(shipped.config.stages)
    )


def test_a_codec_gives_the_same_file_with_either(tiny_model, tiny_sf_model):
    wave = synthesize_speech(3.0, seed=1)
    for path, position_bits in ((tiny_model, 0), (tiny_sf_model, 2)):
        one, other = (
            Codec.load(path, device="cpu", backend=backend) for backend in ("torch", "onnx")
        )
        assert (one.device, other.device) == ("cpu", "cpu")
        file = one.encode(wave, sample_rate_hz=44_100, position_bits=position_bits).to_bytes()
        assert (
            other.encode(wave, sample_rate_hz=44_100, position_bits=position_bits).to_bytes()
            == file
        )
        np.testing.assert_allclose(
            other.decode(file).wave, one.decode(file).wave, rtol=0, atol=WAVE_TOLERANCE
        )
        np.testing.assert_allclose(
            other.decode(file, stages=2).wave,
            one.decode(file, stages=2).wave,
            rtol=0,
            atol=WAVE_TOLERANCE,
        )


@pytest.mark.parametrize("backend", [TorchBackend, OnnxBackend])
@pytest.mark.parametrize("wrong", ["missing", "additional", "of another shape"])
def test_weights_that_do_not_fit_are_refused(backend, wrong):
    checkpoint = make_checkpoint()
    weights = dict(checkpoint.weights)
    name = "decoder.0.conv.bias"
    if wrong == "missing":
        del weights[name]
    elif wrong == "additional":
        name = "decoder.99.conv.bias"
        weights[name] = np.zeros(3, np.float32)
    else:
        weights[name] = weights[name][:-1]
    with pytest.raises(CheckpointError, match=f"does not fit its configuration, e.g. at '{name}'"):
        backend(dataclasses.replace(checkpoint, weights=weights), "cpu")


def test_auto_is_torch_where_it_is_installed(monkeypatch):
    checkpoint = make_checkpoint()
    assert isinstance(load_backend(checkpoint, "auto", device="cpu"), TorchBackend)
    monkeypatch.setattr("codec.backends.find_spec", lambda name: None if name == "torch" else name)
    assert isinstance(load_backend(checkpoint, "auto", device="auto"), OnnxBackend)
    with pytest.raises(
        ConfigError,
        match=r"needs torch, which is not installed: pip install 'diveq-codec\[torch\]'",
    ):
        load_backend(checkpoint, "torch", device="cpu")


def test_what_is_not_there_is_refused():
    checkpoint = make_checkpoint()
    with pytest.raises(ConfigError, match="auto, torch or onnx, not 'jax'"):
        load_backend(checkpoint, "jax", device="cpu")
    with pytest.raises(ConfigError, match="'cuda' needs the torch backend"):
        load_backend(checkpoint, "onnx", device="cuda")


def test_the_network_computes_in_float32_and_leaves_the_setting_as_it_was(waves):
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    network = TorchBackend(random_checkpoint(tiny_transform()), "cpu")
    seen = []
    network.model.encoder.register_forward_pre_hook(
        lambda *_: seen.append([b.allow_tf32 for b in backends])
    )
    network.model.decoder.register_forward_pre_hook(
        lambda *_: seen.append([b.allow_tf32 for b in backends])
    )
    with tf32(allowed=True):
        network.decode(network.encode(waves, [0]), [0])
        assert [backend.allow_tf32 for backend in backends] == [True, True]
    assert seen == [[False, False]] * 2
    assert [backend.allow_tf32 for backend in backends] == before
