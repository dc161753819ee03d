"""A configuration cannot ask for more memory than its model file has weights for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from small_models import tiny_filterbank, tiny_transform

from codec.backends import load_backend
from codec.checkpoint import Checkpoint
from codec.errors import CheckpointError, ConfigError
from codec.layouts.presets import PRESETS


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize(
    "config",
    [
        tiny_transform(width=10**9),
        tiny_transform(encoder_blocks=10**6),
        tiny_transform(kernel=10**9 + 1),
        tiny_filterbank(encoder_width=10**9),
        tiny_filterbank(frontend_kernel=10**9),
        dataclasses.replace(tiny_transform(), latent_channels=10**12),
        dataclasses.replace(
            tiny_transform(),
            stages=(dataclasses.replace(tiny_transform().stages[0], bits=16, dim=10**9),) * 127,
        ),
    ],
)
def test_a_configuration_of_more_weights_than_there_are_is_refused(config, backend):
    checkpoint = Checkpoint(config=config, weights={"some": np.zeros(100_000, np.float16)})
    with pytest.raises(CheckpointError, match=r"needs more than \d+ weights, but there are 100000"):
        load_backend(checkpoint, backend, device="cpu")


def test_a_hop_has_a_limit():
    with pytest.raises(ConfigError, match="bands add up to at most 2048, not 30000"):
        tiny_transform(bands=(15_000, 15_000))


@pytest.mark.parametrize(
    "config",
    [
        *(preset() for preset in PRESETS.values()),
        tiny_transform(bands=(2,) + (1,) * 318, excitation_bands=1),
    ],
    ids=[*PRESETS, "excited"],
)
def test_models_have_more_weights_than_the_least(config):
    import torch

    from codec.model import CodecModel

    with torch.device("meta"):  # weights of these shapes, without values
        model = CodecModel(config)
    assert config.least_weights < sum(weight.numel() for weight in model.parameters())
