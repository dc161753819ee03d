"""Discriminators against DAC's own figures, librosa's spectra and sizes done by hand."""

from __future__ import annotations

import ast
import inspect
import json
import math
from dataclasses import replace
from textwrap import dedent
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codec.errors import ConfigError
from codec.training.objective.discriminators import (
    DiscriminatorConfig,
    Discriminators,
    PeriodDiscriminator,
    SpectralDiscriminator,
    Verdict,
    full,
    level_gain,
    small,
)
from codec.training.objective.losses import (
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)

MINUTE = DiscriminatorConfig(periods=(2, 3), windows=(256, 128), period_width=2, spectral_width=4)


def noise(*shape: int, seed: int = 0, scale: float = 0.1) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def minute(seed: int = 0, **changes: Any) -> Discriminators:
    torch.manual_seed(seed)
    return Discriminators(replace(MINUTE, **changes))


def assert_same(
    found: tuple[Verdict, ...], expected: tuple[Verdict, ...], **tolerance: float
) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(
            (*one.features, one.logit), (*other.features, other.logit), **tolerance
        )


# descript-audio-codec's own dac/model/discriminator.py and GANLoss of dac/nn/loss.py at commit
# c7cfc5d, over audiotools' AudioSignal at commit 348ebf2: the weights of `pseudo_trained`, the
# clips of `speech_like`.
DAC_PARAMETERS = 42_519_760
DAC_DISCRIMINATOR_LOSS = 47.5567626953125
DAC_GENERATOR_LOSS = 30.228599548339844
DAC_FEATURE_LOSS = 59.621761322021484
# Of each discriminator on the reference: number of features, mean of the scores, deviation of the
# last features.
DAC_VERDICTS = [
    (5, (2, 1, 99, 2), -0.2472561001777649, 0.21944452822208405),
    (5, (2, 1, 66, 3), -0.2986098825931549, 0.2099847048521042),
    (5, (2, 1, 40, 5), -0.06444212049245834, 0.20518073439598083),
    (5, (2, 1, 29, 7), 0.7074253559112549, 0.19241032004356384),
    (5, (2, 1, 18, 11), 0.07557298988103867, 0.17760781743798065),
    (25, (2, 1, 32, 130), -0.24203206598758698, 0.49052563309669495),
    (25, (2, 1, 63, 66), 0.42994317412376404, 0.4419841766357422),
    (25, (2, 1, 125, 34), -0.18149295449256897, 0.2853306829929352),
]


def speech_like(seed: int) -> np.ndarray:
    """One second at 16 kHz: thirty harmonics of a wavering 120 Hz, twice louder and softer, and a
    little noise.
    """
    time = np.arange(16_000) / 16_000
    pitch = 120 * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    voiced = sum(np.cos(k * phase) / k for k in range(1, 31))
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 2 * time)
    hiss = np.random.RandomState(seed).standard_normal(16_000)
    return (0.1 * loudness * voiced + 0.01 * hiss).astype(np.float32)


def pseudo_trained(discriminators: Discriminators) -> Discriminators:
    """Weights from NumPy's legacy generator, whose stream never changes: direction, length and bias
    of each layer.
    """
    generator = np.random.RandomState(0)

    def draw(parameter: Tensor, offset: float, scale: float) -> None:
        values = generator.standard_normal(tuple(parameter.shape)).astype(np.float32)
        parameter.data = torch.from_numpy(np.float32(offset) + np.float32(scale) * values)

    for module in discriminators.modules():
        if isinstance(module, nn.Conv2d):
            weight: Any = module.parametrizations["weight"]  # pyright: ignore
            assert module.bias is not None
            draw(weight.original1, 0.0, 1.0)
            draw(weight.original0, 1.5, 0.1)
            draw(module.bias, 0.0, 0.1)
    return discriminators


def test_full_is_dacs_pair() -> None:
    reference = np.stack([speech_like(1), 0.3 * speech_like(2)])[:, None]
    estimate = 0.8 * reference + 0.02 * np.random.RandomState(3).standard_normal(
        reference.shape
    ).astype(np.float32)
    discriminators = pseudo_trained(Discriminators(full()))
    with torch.no_grad():
        real, generated = (
            discriminators(torch.from_numpy(reference)),
            discriminators(torch.from_numpy(estimate)),
        )
    for verdict, (features, shape, mean, deviation) in zip(real, DAC_VERDICTS, strict=True):
        assert (len(verdict.features), tuple(verdict.logit.shape)) == (features, shape)
        assert verdict.logit.mean().item() == pytest.approx(mean, abs=2e-5)
        assert verdict.features[-1].std().item() == pytest.approx(deviation, rel=2e-5)
    both = {"reference": real, "estimate": generated}
    assert discriminator_loss(**both).item() == pytest.approx(DAC_DISCRIMINATOR_LOSS, rel=2e-5)
    assert generator_loss(generated).item() == pytest.approx(DAC_GENERATOR_LOSS, rel=2e-5)
    assert feature_matching_loss(**both).item() == pytest.approx(DAC_FEATURE_LOSS, rel=2e-5)


def parameters(config: DiscriminatorConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Discriminators(config).parameters())


def test_parameter_counts() -> None:
    assert parameters(full()) == DAC_PARAMETERS
    assert 0.08 < parameters(small()) / DAC_PARAMETERS < 0.12


def test_period_shapes_by_hand() -> None:
    """1,000 samples in columns of 7: 994 fill 142 rows, the rest one more; strides of 3 leave 48,
    16, 6, 2, 2.
    """
    verdict = PeriodDiscriminator(7, width=2)(noise(3, 1, 1000))
    rows = [(feature.shape[1], feature.shape[2]) for feature in verdict.features]
    assert rows == [(2, 48), (8, 16), (32, 6), (64, 2), (64, 2)]
    assert verdict.logit.shape == (3, 1, 2, 7)


def test_each_column_of_a_period_is_judged_alone() -> None:
    torch.manual_seed(0)
    discriminator = PeriodDiscriminator(5, width=2)
    audio = noise(1, 1, 998)  # two samples are reflected
    changed = audio.clone()
    changed[..., 3::5] += 1.0
    difference = discriminator(changed).logit - discriminator(audio).logit
    assert (difference.abs().amax(dim=(0, 1, 2)) > 1e-6).tolist() == [
        False,
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("samples", [512, 513, 1023, 4000])
def test_spectrum_is_librosas(samples: int) -> None:
    """Hops of 128 that tile the clip, each in the middle of its window: 192 samples of margin on
    either side.
    """
    audio = noise(2, 1, samples)
    hops = math.ceil(samples / 128)
    padded = np.pad(
        audio[:, 0].numpy(), ((0, 0), (192, 192 + hops * 128 - samples)), mode="reflect"
    )
    expected = librosa.stft(padded, n_fft=512, hop_length=128, center=False).transpose(0, 2, 1)
    found = SpectralDiscriminator(512, [(0.0, 1.0)], width=1).spectrum(audio)
    assert found.shape == (2, 2, hops, 257)
    np.testing.assert_allclose(
        found.numpy(), np.stack([expected.real, expected.imag], axis=1), atol=1e-5
    )


def test_spectral_shapes_by_hand() -> None:
    """A window of 256 has 129 frequencies: 12, 20, 32, 32 and 33 in DAC's bands, each halved
    (upward) three times.
    """
    verdict = SpectralDiscriminator(256, DiscriminatorConfig().bands, width=3)(noise(2, 1, 1000))
    widths = [feature.shape[-1] for feature in verdict.features]
    assert widths == [
        12,
        6,
        3,
        2,
        2,
        20,
        10,
        5,
        3,
        3,
        32,
        16,
        8,
        4,
        4,
        32,
        16,
        8,
        4,
        4,
        33,
        17,
        9,
        5,
        5,
    ]
    assert {feature.shape[:3] for feature in verdict.features} == {(2, 3, 16)}
    assert verdict.logit.shape == (2, 1, 16, 2 + 3 + 4 + 4 + 5)


def test_spectral_bands_are_judged_apart() -> None:
    torch.manual_seed(0)
    discriminator = SpectralDiscriminator(256, ((0.0, 0.5), (0.5, 1.0)), width=3)
    audio = noise(1, 1, 2048)
    tone = 0.5 * torch.sin(math.pi * 0.75 * torch.arange(2048))  # in the middle of the upper band
    plain, changed = discriminator(audio), discriminator(audio + tone)
    # Away from the reflected ends, where the tone's phase breaks and leaks into the lower band.
    moved = [
        (one - other)[:, :, 8:-8].abs().max().item()
        for one, other in zip(changed.features, plain.features, strict=True)
    ]
    assert max(moved[:5]) < 1e-3
    assert min(moved[5:]) > 1e-2


def test_gradients_reach_every_parameter() -> None:
    discriminators = minute()
    real, generated = discriminators(noise(2, 1, 1000)), discriminators(noise(2, 1, 1000, seed=1))
    discriminator_loss(reference=real, estimate=generated).backward()
    idle = [
        name
        for name, parameter in discriminators.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_the_example_of_one_pass_is_code() -> None:
    _, _, rest = inspect.getdoc(Discriminators).partition("same discriminators:\n\n")
    example, _, _ = rest.partition("\nand only then")
    assert len(ast.parse(dedent(example)).body) == 5


def test_one_pass_serves_both_players() -> None:
    """The gradients of a shared pass are those of a step for each player, with detached and frozen
    counterparts.
    """
    discriminators = minute()
    weights = list(discriminators.parameters())
    reference, estimate = noise(2, 1, 1000), noise(2, 1, 1000, seed=1).requires_grad_()

    real, generated = discriminators(reference), discriminators(estimate)
    imitation = generator_loss(generated) + feature_matching_loss(
        reference=real, estimate=generated
    )
    (shared_estimate,) = torch.autograd.grad(imitation, estimate, retain_graph=True)
    discriminator_loss(reference=real, estimate=generated).backward(inputs=weights)
    shared_weights = [weight.grad for weight in weights]

    detached = discriminator_loss(
        reference=discriminators(reference), estimate=discriminators(estimate.detach())
    )
    own_weights = torch.autograd.grad(detached, weights)
    with torch.no_grad():
        real = discriminators(reference)
    generated = discriminators(estimate)
    imitation = generator_loss(generated) + feature_matching_loss(
        reference=real, estimate=generated
    )
    (own_estimate,) = torch.autograd.grad(imitation, estimate)

    assert estimate.grad is None
    torch.testing.assert_close(shared_estimate, own_estimate)
    torch.testing.assert_close(shared_weights, list(own_weights))


def test_feature_matching_of_equal_clips_is_zero() -> None:
    audio = noise(2, 1, 1000)
    discriminators = minute()
    real, generated = discriminators(audio), discriminators(audio.clone())
    assert feature_matching_loss(reference=real, estimate=generated) == 0


def test_learns_noise_from_tones() -> None:
    """Thirty steps on fresh clips leave less than a quarter of the loss at chance, 0.5 for each
    discriminator.
    """
    discriminators = minute(bands=((0.0, 1.0),))
    optimiser = torch.optim.AdamW(discriminators.parameters(), lr=1e-2, betas=(0.8, 0.99))
    time = torch.arange(1024) / 16_000
    chance = 0.5 * len(discriminators.discriminators)
    loss = torch.tensor(math.inf)
    for step in range(30):
        pitch = 200 + 3000 * torch.rand(4, 1, 1, generator=torch.Generator().manual_seed(step))
        tones, noises = (
            discriminators(torch.sin(2 * math.pi * pitch * time)),
            discriminators(noise(4, 1, 1024, seed=step)),
        )
        loss = discriminator_loss(reference=noises, estimate=tones)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.25 * chance


def test_level_and_offset_are_no_clue() -> None:
    discriminators = minute()
    audio = noise(2, 1, 1000)
    assert_same(discriminators(0.5 * audio + 0.1), discriminators(audio), rtol=1e-3, atol=1e-5)


def test_levels_by_hand() -> None:
    clips = torch.tensor([[[1.0, 3.0, 5.0]], [[0.0, 0.0, 0.0]], [[-2.5e-4, 0.0, 2.5e-4]]])
    expected = torch.tensor([[[-0.8, 0.0, 0.8]], [[0.0, 0.0, 0.0]], [[-0.2, 0.0, 0.2]]])
    centred = clips - clips.mean(-1, keepdim=True)
    torch.testing.assert_close(level_gain(centred) * centred, expected)


def test_gradient_on_silence_is_bounded() -> None:
    """Scaling to the peak multiplies gradients by at most 0.8 / 1e-3 (and the mean's removal by at
    most 2).
    """
    discriminators = minute()
    silence = torch.zeros(1, 1, 1000, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(discriminators(silence)), silence)
    scaled = torch.zeros(1, 1, 1000, requires_grad=True)
    verdicts = tuple(discriminator(scaled) for discriminator in discriminators.discriminators)
    (inner,) = torch.autograd.grad(generator_loss(verdicts), scaled)
    assert 0 < gradient.abs().max() <= 800 * 2 * inner.abs().max()


@pytest.mark.parametrize("samples", [1, 2, 255, 256, 257])
def test_short_clips_are_padded_with_zeros(samples: int) -> None:
    discriminators = minute()
    audio = noise(2, 1, samples)
    audio -= audio.mean(dim=-1, keepdim=True)
    audio *= 0.8 / audio.abs().amax(dim=-1, keepdim=True).clamp(min=1e-3)
    padded = torch.cat([audio, torch.zeros(2, 1, max(0, 256 - samples))], dim=-1)
    expected = tuple(discriminator(padded) for discriminator in discriminators.discriminators)
    assert_same(discriminators(audio), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [replace(MINUTE, periods=()), replace(MINUTE, windows=())])
def test_either_family_works_alone(config: DiscriminatorConfig) -> None:
    verdicts = Discriminators(config)(noise(1, 1, 300))
    assert len(verdicts) == 2
    assert all(verdict.logit.isfinite().all() for verdict in verdicts)


def test_autocast_reaches_the_convolutions_only() -> None:
    discriminators = minute()
    audio = noise(2, 1, 1000)
    spectral = discriminators.discriminators[-1]
    assert isinstance(spectral, SpectralDiscriminator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        verdicts = discriminators(audio)
        assert torch.equal(
            spectral.spectrum(audio.bfloat16()), spectral.spectrum(audio.bfloat16().float())
        )
    assert {feature.dtype for verdict in verdicts for feature in verdict.features} == {
        torch.bfloat16
    }
    exact = discriminators(audio)
    for rounded, verdict in zip(verdicts, exact, strict=True):
        torch.testing.assert_close(rounded.logit.float(), verdict.logit, rtol=0.05, atol=0.02)


def test_one_graph_without_breaks() -> None:
    discriminators = minute(periods=(2,), windows=(128,), bands=((0.0, 0.5), (0.5, 1.0)))
    audio = noise(1, 1, 300)
    compiled = torch.compile(discriminators, backend="eager", fullgraph=True)
    assert_same(compiled(audio), discriminators(audio))


def test_only_weights_are_saved() -> None:
    discriminators = minute()
    assert set(discriminators.state_dict()) == {
        name for name, _ in discriminators.named_parameters()
    }


@pytest.mark.parametrize("config", [full(), small(), MINUTE])
def test_configuration_survives_json(config: DiscriminatorConfig) -> None:
    assert DiscriminatorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 3}, "no field width; this file may need a newer"),
        ([], "is a JSON object, not list"),
        ({"periods": [2, 1]}, r"a period is at least 2 samples, not \(2, 1\)"),
        ({"periods": [2, 3.0]}, r"periods is a list of whole numbers, not \[2, 3.0\]"),
        ({"periods": 2}, "periods is a list of whole numbers, not 2"),
        ({"periods": [], "windows": []}, "periods and windows are both empty"),
        ({"windows": [100]}, "multiple of 8 samples .* not 100"),
        ({"windows": [0]}, "multiple of 8 samples .* not 0"),
        ({"windows": [True]}, r"windows is a list of whole numbers, not \[True\]"),
        ({"windows": [8]}, r"band \(0.0, 0.1\) holds no frequency of a window of 8 samples"),
        ({"bands": []}, "bands is empty"),
        ({"bands": 0.5}, "bands is a list of lists of 2 numbers, not 0.5"),
        ({"bands": [[0.5]]}, "bands is a list of lists of 2 numbers, not"),
        ({"bands": [["low", "high"]]}, "bands is a list of lists of 2 numbers, not"),
        ({"bands": [[0.5, 0.2]]}, r"a band is .* not \(0.5, 0.2\)"),
        ({"bands": [[0.5, 1.2]]}, r"a band is .* not \(0.5, 1.2\)"),
        ({"period_width": 0}, "period_width is at least 1, not 0"),
        ({"spectral_width": 1.5}, "spectral_width is a whole number, not 1.5"),
    ],
)
def test_a_wrong_configuration_is_refused(fields: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiscriminatorConfig.from_dict(fields)
