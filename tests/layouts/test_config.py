"""Configurations: what is refused, and that plain JSON gives back what it was made from."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest
from small_models import tiny_filterbank, tiny_transform

from codec.errors import ConfigError
from codec.layouts.config import MAX_STAGES, ModelConfig, StageConfig
from codec.layouts.presets import PRESETS, tiny
from codec.layouts.stage_kinds import STAGE_KINDS, StageKind
from codec.training.objective.discriminators import DiscriminatorConfig, full
from codec.training.settings import TrainingConfig


def through_json(config: Any) -> Any:
    return json.loads(json.dumps(config.to_dict()))


@pytest.mark.parametrize("kind", STAGE_KINDS)
@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_model_survives_json(preset, kind):
    config = preset(kind=kind)
    assert ModelConfig.from_dict(through_json(config)) == config


@pytest.mark.parametrize(
    "settings",
    [
        TrainingConfig(steps=5),
        TrainingConfig(max_minutes=0.5, precision="bf16", discriminator=full(), compile=True),
        TrainingConfig(steps=1, discriminator=DiscriminatorConfig(periods=(), bands=((0.0, 1.0),))),
    ],
)
def test_settings_survive_json(settings):
    assert TrainingConfig.from_dict(through_json(settings)) == settings


def test_what_has_a_default_may_be_left_out():
    given = through_json(tiny())
    for name in ("dilations", "residual_kernel", "causal"):
        del given["filterbank"][name]
    given["stages"] = [{}, {"bits": 3}]
    config = ModelConfig.from_dict(given)
    layout = config.filterbank
    assert (layout.dilations, layout.residual_kernel, layout.causal) == ((1, 3, 9), 7, False)
    assert config.stages == (StageConfig(), StageConfig(bits=3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"widht": 3, "rate": 1},
            "ModelConfig has no field rate, widht; this file may need a newer diveq-codec",
        ),
        ({"hop": 320}, "has no field hop"),
        (
            {"filterbank": through_json(tiny())["filterbank"] | {"causal": 0}},
            "Layout.causal is true or false, not 0",
        ),
        ({"sample_rate_hz": 16000.0}, "ModelConfig.sample_rate_hz is a whole number, not 16000.0"),
        ({"sample_rate_hz": True}, "sample_rate_hz is a whole number, not True"),
        ({"sample_rate_hz": None}, "sample_rate_hz is a whole number, not None"),
        (
            {"filterbank": through_json(tiny())["filterbank"] | {"strides": 8}},
            "strides is a list of whole numbers, not 8",
        ),
        (
            {"filterbank": through_json(tiny())["filterbank"] | {"strides": [2, "4"]}},
            r"strides is a list of whole numbers, not \[2, '4'\]",
        ),
        (
            {"filterbank": through_json(tiny())["filterbank"] | {"strides": {"0": 2}}},
            "strides is a list of whole numbers",
        ),
        ({"stages": {}}, "ModelConfig.stages is a list of JSON objects, not {}"),
        ({"stages": [6]}, "StageConfig is a JSON object, not int"),
        ({"stages": [{"bit": 6}]}, "StageConfig has no field bit;"),
        ({"stages": [{"kind": "vq"}]}, "StageConfig.kind is one of 'diveq', .*, not 'vq'"),
        ({"stages": [{"noise_variance": "1"}]}, "StageConfig.noise_variance is a number, not '1'"),
        ({"stages": [{"noise_variance": float("nan")}]}, "noise_variance is a number, not nan"),
        ({"stages": [{"noise_variance": 10**400}]}, "noise_variance is a number, not 10"),
        ({"stages": []}, "a model has 1 to 127 stages, not 0"),
    ],
)
def test_json_that_is_no_model_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_dict(through_json(tiny()) | changes)


@pytest.mark.parametrize("name", ["sample_rate_hz", "latent_channels", "stages"])
def test_what_is_missing_is_named(name):
    given = through_json(tiny())
    del given[name]
    with pytest.raises(ConfigError, match=f"ModelConfig lacks {name}"):
        ModelConfig.from_dict(given)


def test_a_huge_value_is_not_quoted_whole():
    with pytest.raises(ConfigError) as caught:
        ModelConfig.from_dict(through_json(tiny()) | {"strides": ["x" * 10_000] * 10_000})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1e-3}, "TrainingConfig has no field lr"),
        ({"precision": "fp16"}, "TrainingConfig.precision is one of 'no', 'bf16', not 'fp16'"),
        ({"steps": 2.5}, "TrainingConfig.steps is a whole number or null, not 2.5"),
        (
            {"discriminator": {"periods": "2"}},
            "DiscriminatorConfig.periods is a list of whole numbers, not '2'",
        ),
        ({"steps": None}, "a run has no end: set steps, max_minutes or both"),
        ({"rate_warmup_steps": 0}, "rate_warmup_steps is positive, not 0"),
        ({"replace_every_steps": 0}, "replace_every_steps is positive, not 0"),
        ({"weight_decay": -0.1}, "weight_decay is at least 0, not -0.1"),
        ({"loudness_weight": -1}, "loudness_weight is at least 0, not -1"),
        ({"beta_2": 1}, "beta_2 is at least 0 and below 1, not 1"),
        ({"normalisation_momentum": 2}, "normalisation_momentum is a share from 0 to 1, not 2"),
    ],
)
def test_json_that_is_no_training_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.from_dict(through_json(TrainingConfig(steps=5)) | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz is 1 to 768000, not 0"),
        ({"filterbank": None}, "one layout, transform or filterbank"),
        ({"transform": tiny_transform().transform}, "one layout, transform or filterbank"),
        ({"stages": (StageConfig(),) * (MAX_STAGES + 1)}, "1 to 127 stages, not 128"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(tiny(), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": (3, 4)}, "an even number, not 7"),
        ({"bands": ()}, "bands are positive"),
        ({"bands": (4, 0)}, "bands are positive"),
        ({"width": 0}, "width is at least 1, not 0"),
        ({"expansion": 0}, "expansion is at least 1, not 0"),
        ({"decoder_blocks": -1}, "decoder_blocks is at least 0, not -1"),
        ({"kernel": 4}, "kernel is odd, not 4"),
        ({"excitation_bands": -1}, "excitation_bands is at least 0 and below .* bands, 3, not -1"),
        ({"excitation_bands": 3}, "excitation_bands is at least 0 and below .* bands, 3, not 3"),
        ({"noise_bands": -1}, "noise_bands is 0 to the number of bands, 3, not -1"),
        ({"frames_per_latent": 0}, "frames_per_latent is 1 to 8, not 0"),
        ({"noise_bands": 4}, "noise_bands is 0 to the number of bands, 3, not 4"),
    ],
)
def test_a_transform_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_transform(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_width": 0}, "encoder_width is at least 1, not 0"),
        ({"frontend_kernel": 4}, "frontend_kernel 4 is shorter than frontend_stride 8"),
        ({"strides": ()}, "strides are positive"),
        ({"strides": (2, 0)}, "strides are positive"),
        ({"dilations": ()}, "dilations are positive"),
        ({"residual_kernel": 4}, "residual_kernel is odd, not 4"),
        ({"decoder_width": 60}, "decoder_width 60 cannot be halved once per stride"),
    ],
)
def test_a_filterbank_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_filterbank(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "vq"}, "stage kind 'vq' is unknown"),
        ({"bits": 0}, "1 to 16 bits, not 0"),
        ({"bits": 17}, "1 to 16 bits, not 17"),
        ({"dim": 0}, "dim is at least 1"),
        ({"noise_variance": -1.0}, "noise_variance is at least 0, not -1"),
        ({"noise_variance": float("nan")}, "noise_variance is at least 0, not nan"),
        ({"noise_variance": float("inf")}, "noise_variance is at least 0, not inf"),
    ],
)
def test_a_stage_that_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        StageConfig(**changes)


def test_presets_have_the_rates_that_they_state():
    facts = {
        name: (
            config.sample_rate_hz,
            config.frame_rate_hz,
            sum(s.bits for s in config.stages) * config.frame_rate_hz,
        )
        for name, config in ((name, preset()) for name, preset in PRESETS.items())
    }
    assert facts == {
        "speech_16khz": (16_000, 50, 7000),
        "speech_16khz_25hz": (16_000, 25, 7000),
        "speech_16khz_live": (16_000, 50, 7000),
        "speech_24khz": (24_000, 75, 7500),
        "dac_16khz": (16_000, 50, 6000),
        "tiny": (16_000, 50, 1200),
    }


def test_kinds_tell_curves_and_noise_apart():
    found = {
        kind: (traits.is_space_filling, traits.is_detached) for kind, traits in STAGE_KINDS.items()
    }
    assert tuple(found) == get_args(StageKind)
    assert found == {
        "diveq": (False, False),
        "diveq_detach": (False, True),
        "sf_diveq": (True, False),
        "sf_diveq_detach": (True, True),
    }
