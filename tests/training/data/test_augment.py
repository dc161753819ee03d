"""Augmentations measured on what comes out: slopes, decays, ratios, shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.errors import ConfigError
from codec.training.data.augment import AugmentConfig, augment
from codec.training.data.counter_random import item_keys

RATE_HZ = 16_000
KEYS = item_keys(0, 0, torch.arange(200))


def noise(batch: int = 200, samples: int = RATE_HZ) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(1))


def level_db(sound: torch.Tensor) -> torch.Tensor:
    return 20 * torch.log10(sound.norm(dim=-1) / sound.shape[-1] ** 0.5)


def test_nothing_is_changed_by_default():
    crops = noise()
    assert augment(crops, KEYS, AugmentConfig(), sample_rate_hz=RATE_HZ) is crops


@pytest.mark.parametrize("name", ["tilt_share", "reverb_share", "noise_share"])
def test_a_share_of_the_crops_is_changed_by_the_key_alone(name):
    crops = noise()
    config = AugmentConfig(**{name: 0.3})
    changed = augment(crops, KEYS, config, sample_rate_hz=RATE_HZ)
    differs = (changed != crops).any(dim=1)
    assert differs.float().mean().item() == pytest.approx(0.3, abs=0.1)
    for part in (slice(0, 1), slice(17, 60)):
        again = augment(crops[part], KEYS[part], config, sample_rate_hz=RATE_HZ)
        torch.testing.assert_close(again, changed[part], rtol=0, atol=1e-6)


@pytest.mark.parametrize("slope", [-3.0, 0.0, 3.0])
def test_tilt_has_the_slope_and_keeps_the_level(slope):
    crops = noise()
    config = AugmentConfig(tilt_share=1, tilt_db_per_octave=(slope, slope))
    tilted = augment(crops, KEYS, config, sample_rate_hz=RATE_HZ)
    torch.testing.assert_close(level_db(tilted), level_db(crops), rtol=0, atol=1e-3)
    power = torch.fft.rfft(tilted).abs().square().mean(dim=0) / torch.fft.rfft(
        crops
    ).abs().square().mean(dim=0)
    octaves_hz = 125 * 2 ** np.arange(7)  # to 8 kHz; one second: a bin per hertz
    bands = [10 * np.log10(power[low : 2 * low].mean().item()) for low in octaves_hz[:-1]]
    np.testing.assert_allclose(np.diff(bands), slope, atol=0.15)


def test_tilt_does_not_wrap_round():
    crops = torch.zeros(1, RATE_HZ)
    crops[0, 100] = 1
    tilted = augment(
        crops,
        KEYS[:1],
        AugmentConfig(tilt_share=1, tilt_db_per_octave=(-3.0, -3.0)),
        sample_rate_hz=RATE_HZ,
    )
    assert tilted[0, RATE_HZ // 2 :].abs().max() < 1e-3


def test_reverb_decays_by_60_db_in_its_time_and_has_its_ratio():
    crops = torch.zeros(200, RATE_HZ)
    crops[:, 0] = 1
    config = AugmentConfig(reverb_share=1, reverb_seconds=(0.3, 0.3), reverb_ratio_db=(6.0, 6.0))
    response = augment(crops, KEYS, config, sample_rate_hz=RATE_HZ)
    response = response / response[:, :1]
    tail = response[:, 1:].square().mean(dim=0)
    assert 10 * np.log10(tail.sum().item()) == pytest.approx(-6, abs=0.2)
    windows = 10 * torch.log10(
        tail[: 4000 - 4000 % 800].reshape(-1, 800).mean(dim=1)
    )  # 50 ms each, to 0.25 s
    np.testing.assert_allclose(np.diff(windows.numpy()), -10, atol=0.3)
    assert tail[4_800:].max() < 1e-8


@pytest.mark.parametrize("snr_db", [10.0, 30.0])
def test_noise_has_its_ratio_and_its_own_samples(snr_db):
    crops = noise()
    config = AugmentConfig(noise_share=1, noise_snr_db=(snr_db, snr_db))
    added = augment(crops, KEYS, config, sample_rate_hz=RATE_HZ) - crops
    torch.testing.assert_close(
        level_db(crops) - level_db(added), torch.full((200,), snr_db), rtol=0, atol=0.01
    )
    correlation = np.corrcoef(torch.cat([added[:20], crops[:20]]).numpy()) - np.eye(40)
    # Noise that falls by 6 dB an octave is slow, so chance alone correlates it; the same noise
    # would read 1.
    assert np.abs(correlation).max() < 0.5
    silence = augment(torch.zeros(3, 100), KEYS[:3], config, sample_rate_hz=RATE_HZ)
    assert silence.abs().max() == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"noise_share": 1.1}, "noise_share is a share from 0 to 1, not 1.1"),
        (
            {"noise_snr_db": (20.0, 10.0)},
            "noise_snr_db is a range from low to high, not 20.0 to 10.0",
        ),
        ({"reverb_seconds": (0.0, 0.5)}, "reverb_seconds is positive, not 0.0"),
    ],
)
def test_wrong_configurations_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**wrong)
