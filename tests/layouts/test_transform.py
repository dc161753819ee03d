"""The transform layout: its transform, its levels, and its start from data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.fft import dct
from small_models import tiny_noisy, tiny_transform
from synthesis import synthesize_speech

from codec.layouts.transform.excitation import Excitation
from codec.layouts.transform.lapped_transform import Analysis, Synthesis
from codec.layouts.transform.mdct import mdct_basis
from codec.metrics import estoi, si_sdr
from codec.model import CodecModel

HOP = 320


def speech(seconds: float = 4.0, seed: int = 0) -> torch.Tensor:
    wave = torch.from_numpy(synthesize_speech(seconds, seed=seed)).float()
    return 0.1 * wave[None, None, : len(wave) // HOP * HOP]


@pytest.mark.parametrize("hop", [4, 10, 320])
def test_the_mdct_is_that_of_folding_and_a_dct(hop):
    """The textbook way: fold the windowed frame (a b c d) to (-c_r - d, a - b_r), then DCT-IV."""
    frame = np.random.default_rng(0).standard_normal(2 * hop)
    half = hop // 2
    a, b, c, d = (frame * np.sin(np.pi / (2 * hop) * (np.arange(2 * hop) + 0.5))).reshape(4, half)
    folded = np.concatenate([-c[::-1] - d, a - b[::-1]])
    np.testing.assert_allclose(  # pyright: ignore[reportCallIssue]
        mdct_basis(hop) @ frame, dct(folded, type=4, norm="ortho"), rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_synthesis_undoes_analysis(level):
    layout = tiny_transform().transform
    wave = level * speech()
    again = Synthesis(layout)(Analysis(layout)(wave))
    inner = slice(
        HOP, -HOP
    )  # half a frame at each end has only one of the two frames that add up to it
    torch.testing.assert_close(again[..., inner], wave[..., inner], rtol=0, atol=2e-6 * level)


def test_level_moves_the_levels_alone():
    layout = tiny_transform().transform
    features, quiet = Analysis(layout)(speech()), Analysis(layout)(0.1 * speech())
    loud = features[..., HOP:] > 1.5  # well above where shapes fade out
    difference = (features - quiet)[..., HOP:]
    np.testing.assert_allclose(difference[loud], np.log(10), rtol=0, atol=1e-3)
    shape = loud.repeat_interleave(torch.tensor(layout.bands), dim=-1)
    np.testing.assert_allclose(
        features[..., :HOP][shape], quiet[..., :HOP][shape], rtol=1e-3, atol=1e-3
    )


def test_no_sample_depends_on_later_ones_than_the_look_ahead():
    """A change of sample n of the input reaches codes, and one of frame t's codes samples, no
    earlier than derived.
    """
    torch.manual_seed(0)
    config = tiny_noisy()
    model = CodecModel(config).folded()
    wave = speech(2.0)
    encoder, decoder = config.layout.encoder_context, config.layout.decoder_context
    assert (encoder.after, decoder.after) == (
        1 + 0 + 1,
        1 + 1,
    )  # overlap, look-ahead of levels and of blocks
    changed = wave.clone()
    changed[..., 50 * HOP :] = 0.1 * torch.randn(wave[..., 50 * HOP :].shape)
    difference = (model.encoder(changed) - model.encoder(wave)).abs().amax((0, 1))
    assert difference[: 50 - encoder.after].max() == 0
    assert difference[50 - encoder.after] > 0
    latent = torch.randn(1, config.latent_channels, 100)
    other = latent.clone()
    other[..., 50:] += 1.0
    noise = torch.randn(1, 100, config.noise_values)
    difference = (model.decoder(other, noise) - model.decoder(latent, noise)).abs()[0, 0]
    first = (50 - decoder.after) * HOP
    assert difference[:first].max() == 0
    assert difference[first : first + HOP].max() > 0


@pytest.mark.parametrize("noises", [1, 2])
def test_noise_bands_are_noise_at_the_level_that_the_decoder_gives_them(noises: int):
    layout = tiny_transform(noise_bands=2, noise_channels=2).transform
    assert (layout.noise_bins, layout.noise_values) == (300, 306)
    features = Analysis(layout)(speech())
    features = torch.cat([features, 3 * features])  # a batch of two clips
    noise = torch.randn(noises, features.shape[1], layout.noise_values)
    filled = Synthesis(layout).fill(features, noise)
    untouched = [*range(20), *range(HOP, HOP + 3)]
    assert torch.equal(filled[..., untouched], features[..., untouched])
    for start, stop in ((20, 80), (80, 320)):
        level = features[..., start:stop].square().mean(-1, keepdim=True).sqrt()
        expected = noise[..., 6 + start - 20 : 6 + stop - 20] * level
        torch.testing.assert_close(filled[..., start:stop], expected, rtol=1e-3, atol=1e-4)


def test_an_excitation_continues_the_harmonics_of_the_lowest_band():
    """Above them the wave is noise; with gates wide open it is harmonics of their pitch, and shut
    it stays as it was.
    """
    torch.manual_seed(0)
    layout = tiny_transform(excitation_bands=1).transform
    seconds = torch.arange(2 * 16_000) / 16_000
    voice = sum(torch.cos(2 * torch.pi * hertz * seconds) for hertz in (200, 400))
    features = Analysis(layout)((0.1 * voice + 0.01 * torch.randn(len(seconds)))[None, None])
    excitation, synthesis = Excitation(layout), Synthesis(layout)
    torch.nn.init.zeros_(excitation.gain)
    x = torch.randn(1, features.shape[1], layout.width)

    def decoded(bias: float) -> torch.Tensor:
        torch.nn.init.constant_(excitation.gate.bias, bias)
        with torch.no_grad():
            return synthesis(excitation(x, features, synthesis.coefficients(features)))[0, 0]

    torch.testing.assert_close(decoded(-30), synthesis(features)[0, 0])
    for bias, least, most in ((-30, 0.0, 0.3), (30, 0.9, 1.0)):
        power = torch.fft.rfft(decoded(bias)[8000:-8000]).abs().square()  # of 1 s: in steps of 1 Hz
        around = power[700:3900].unflatten(0, (-1, 200))  # each row 100 Hz around a harmonic
        share = around[:, 90:111].sum(1) / around.sum(1)
        assert least <= share.min() <= share.max() <= most, share


def test_silence_stays_silence():
    torch.manual_seed(0)
    layout = tiny_transform().transform
    features = Analysis(layout)(torch.zeros(1, 1, 5 * HOP))
    assert torch.isfinite(features).all()
    assert Synthesis(layout)(features).abs().max() == 0


def started(width: int, latent_channels: int, **changes: Any) -> CodecModel:
    torch.manual_seed(0)
    config = tiny_transform(width=width, **changes)
    model = CodecModel(dataclasses.replace(config, latent_channels=latent_channels))
    model.start_from_waves(speech(8.0))
    return model


@pytest.mark.parametrize("frames_per_latent", [1, 2])
def test_the_start_is_a_working_codec_before_any_training(frames_per_latent):
    """Wide enough, it gives the waveform back but for what the blocks add; with fewer components it
    keeps the most.
    """
    wave = speech(3.0, seed=1)[..., : 148 * HOP]
    found = {}
    for components in (323, 64):
        model = started(
            width=323,
            latent_channels=components * frames_per_latent,
            frames_per_latent=frames_per_latent,
        )
        for block in (*model.encoder.blocks, *model.decoder.blocks):  # pyright: ignore[reportGeneralTypeIssues]
            torch.nn.init.zeros_(block.scale)
        with torch.no_grad():
            found[components] = si_sdr(
                wave[0, 0].numpy(), model(wave, quantize=False).wave[0, 0].numpy()
            )
    assert found[323] > 30
    assert found[323] > found[64] > 0


@pytest.mark.parametrize(
    "changes", [{}, {"excitation_bands": 1}, {"frames_per_latent": 2}], ids=["", "excited", "two"]
)
def test_quantized_latents_of_the_start_are_speech_already(changes):
    model = started(width=128, latent_channels=64, **changes)
    wave = speech(8.0)
    with torch.no_grad():
        latents = model.encoder(wave)[0].T
    left = model.start_quantizing(latents, torch.Generator().manual_seed(0))
    assert left[-1] < 0.5
    decoded = model.folded().decode(model.folded().encode(wave, [0] * 4), [0] * 4)
    assert estoi(wave[0, 0].numpy(), decoded[0, 0].detach().numpy(), sample_rate_hz=16_000) > 0.3
