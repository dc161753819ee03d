"""The model: aligned lengths, folding, and contexts that are exactly as wide as the gradients
say.
"""

from __future__ import annotations

import copy

import pytest
import torch
from small_models import tiny_filterbank, tiny_transform

from codec.layouts.config import ModelConfig
from codec.layouts.presets import PRESETS, tiny
from codec.layouts.receptive_field import Context
from codec.model import CodecModel

LAYOUTS = {
    "filterbank": tiny(),
    "causal": tiny_filterbank(causal=True),
    "odd": tiny_filterbank(frontend_kernel=7, frontend_stride=1, strides=(3, 5), decoder_width=16),
    "transform": tiny_transform(),
    "wide transform": tiny_transform(
        bands=(3, 7), width=64, encoder_blocks=0, decoder_blocks=1, kernel=5
    ),
    "excited": tiny_transform(excitation_bands=1),
    "two frames a latent": tiny_transform(frames_per_latent=2, excitation_bands=1),
    "three frames a latent": tiny_transform(
        frames_per_latent=3, encoder_look_ahead=(1, 0), decoder_look_ahead=(0, 0, 1)
    ),
}


@pytest.fixture(params=LAYOUTS)
def model(request) -> CodecModel:
    torch.manual_seed(0)
    return CodecModel(LAYOUTS[request.param]).double().eval()


def reach(gradient: torch.Tensor, items_per_frame: int, frame: int) -> Context:
    """Which frames around `frame` have a gradient."""
    frames = (
        gradient.abs()
        .flatten()
        .unfold(0, items_per_frame, items_per_frame)
        .sum(-1)
        .nonzero()
        .flatten()
    )
    return Context(before=frame - int(frames.min()), after=int(frames.max()) - frame)


def test_encoder_context_is_what_the_gradient_reaches(model):
    hop, frame = model.config.hop, 40
    wave = torch.randn(1, 1, 80 * hop, dtype=torch.float64, requires_grad=True)
    model.encoder(wave)[0, :, frame].sum().backward()
    assert reach(wave.grad, hop, frame) == model.config.layout.encoder_context


def test_decoder_context_is_what_the_gradient_reaches(model):
    hop, frame = model.config.hop, 40
    latent = torch.randn(
        1, model.config.latent_channels, 80, dtype=torch.float64, requires_grad=True
    )
    model.decoder(latent)[0, 0, frame * hop : (frame + 1) * hop].sum().backward()
    assert reach(latent.grad.sum(1), 1, frame) == model.config.layout.decoder_context


def test_a_causal_model_looks_at_nothing_ahead():
    config = LAYOUTS["causal"]
    assert config.layout.encoder_context.after == 0
    assert config.layout.decoder_context.after == 0


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frames_and_samples_correspond(model, frames):
    wave = torch.randn(2, 1, frames * model.config.hop, dtype=torch.float64)
    codes = model.encode(wave, [0, 0, 0])
    assert codes.shape == (2, 3, frames)
    assert model.decode(codes, [0, 0, 0]).shape == wave.shape


def test_folding_changes_nothing(model):
    for stage in model.quantizer:
        stage.center.fill_(0.2)
        stage.scale.fill_(3.0)
    folded = model.folded()
    assert not any("parametrizations" in name for name in folded.state_dict())
    wave = torch.randn(1, 1, 10 * model.config.hop, dtype=torch.float64)
    torch.testing.assert_close(folded.encoder(wave), model.encoder(wave))
    codes = model.encode(wave, [0] * 4)
    assert torch.equal(folded.encode(wave, [0] * 4), codes)
    torch.testing.assert_close(folded.decode(codes, [0] * 4), model.decode(codes, [0] * 4))


def test_unfolding_gives_a_model_to_train_on_that_computes_the_same(model):
    for stage in model.quantizer:
        stage.center.fill_(0.2)
        stage.scale.fill_(3.0)
    folded = model.folded()
    torch.manual_seed(7)
    again = CodecModel(model.config).double().eval()
    again.unfold(folded)
    wave = torch.randn(1, 1, 10 * model.config.hop, dtype=torch.float64)
    codes = model.encode(wave, [0] * 4)
    assert torch.equal(again.encode(wave, [0] * 4), codes)
    torch.testing.assert_close(again.decode(codes, [0] * 4), model.decode(codes, [0] * 4))
    for stage in again.quantizer:
        torch.testing.assert_close(stage.codebook.mean(0), torch.zeros(4, dtype=torch.float64))
        assert stage.codebook.square().mean().item() == pytest.approx(1)


def test_the_warm_up_passes_the_latent_on(model):
    wave = torch.randn(1, 1, 4 * model.config.hop, dtype=torch.float64)
    output = model(wave, quantize=False)
    torch.testing.assert_close(output.wave, model.decoder(model.encoder(wave)))
    assert output.codes is None


def test_evaluation_changes_no_state(model):
    before = copy.deepcopy(model.float().state_dict())
    model.float()(torch.randn(1, 1, 4 * model.config.hop))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def parameters(config: ModelConfig) -> int:
    return sum(value.numel() for value in CodecModel.plain(config).parameters())


def test_sizes_of_the_presets():
    assert 7e6 <= parameters(PRESETS["speech_16khz"]()) <= 8e6
    assert parameters(PRESETS["dac_16khz"]()) == pytest.approx(74e6, rel=0.02)


@pytest.mark.parametrize("config", [tiny(), tiny_transform()], ids=["filterbank", "transform"])
def test_start_quantizing_moves_the_mean_into_the_decoder(config):
    torch.manual_seed(0)
    model = CodecModel(config)
    wave = torch.randn(4, 1, 100 * 320)
    latent = model.encoder(wave)
    before = model.decoder(latent).detach()
    latents = latent.transpose(1, 2).flatten(0, 1).detach()
    left = model.start_quantizing(latents, torch.Generator().manual_seed(0))
    assert left == sorted(left, reverse=True)
    shifted = model.encoder(wave)
    torch.testing.assert_close(shifted.mean((0, 2)), torch.zeros(32), rtol=0, atol=1e-5)
    inner = slice(20 * 320, 80 * 320)  # the decoder's zero padding is not the latents' mean
    torch.testing.assert_close(
        model.decoder(shifted)[..., inner], before[..., inner], rtol=0, atol=1e-4
    )
