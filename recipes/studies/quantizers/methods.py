"""Methods by name: which kind each stage has, and which estimator takes the place of the codec's
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

from codec.layouts.config import StageConfig
from codec.layouts.stage_kinds import StageKind
from codec.quantizers import ResidualQuantizer

from .baselines import (
    COMMITMENT,
    BaselineStage,
    Estimating,
    MovingAverageStage,
    OnceOnTheSum,
    gumbel_softmax,
    noise_substitution,
    rotation_trick,
    straight_through,
)

Method = Literal[
    "ste",
    "ema",
    "rotation",
    "st_gumbel",
    "nsvq",
    "diveq",
    "diveq_detach",
    "diveq_sum",
    "sf_diveq",
    "sf_diveq_detach",
    "sf_first",
    "sf_last",
]
METHODS: tuple[Method, ...] = get_args(Method)

TITLES: dict[str, str] = {
    "ste": "STE + commitment",
    "ema": "EMA",
    "rotation": "rotation trick",
    "st_gumbel": "ST-Gumbel",
    "nsvq": "NSVQ",
    "diveq": "DiVeQ",
    "diveq_detach": "DiVeQ-Detach",
    "diveq_sum": "DiVeQ, once on the sum",
    "sf_diveq": "SF-DiVeQ",
    "sf_diveq_detach": "SF-DiVeQ-Detach",
    "sf_first": "SF-DiVeQ, then DiVeQ",
    "sf_last": "DiVeQ, then SF-DiVeQ",
}


def stage_configs(method: Method, count: int, **fields: Any) -> tuple[StageConfig, ...]:
    """The stages of a method; the mixed ones change their kind after the first half of the stages,
    rounded up.
    """
    first = -(-count // 2)
    return tuple(
        StageConfig(kind=_kind(method, is_first=number < first), **fields)
        for number in range(count)
    )


def _kind(method: Method, *, is_first: bool) -> StageKind:
    if method in ("diveq_detach", "sf_diveq", "sf_diveq_detach"):
        return method
    if method in ("sf_first", "sf_last"):
        return "sf_diveq" if is_first == (method == "sf_first") else "diveq"
    return "diveq"  # which is, for inference, what all others are too


def make_quantizer(
    method: Method,
    stages: Sequence[StageConfig],
    latent_channels: int,
    *,
    commitment: float = COMMITMENT,
) -> ResidualQuantizer:
    """A residual quantizer that trains by a method; `commitment` is for those with a commitment
    loss.
    """
    if method == "diveq_sum":
        return OnceOnTheSum(stages, latent_channels)
    quantizer = ResidualQuantizer(stages, latent_channels)
    estimators: dict[Method, Estimating] = {
        "ste": partial(straight_through, commitment=commitment),
        "rotation": partial(rotation_trick, commitment=commitment),
        "st_gumbel": gumbel_softmax,
        "nsvq": noise_substitution,
    }
    for number, config in enumerate(stages):
        if method == "ema":
            quantizer.stages[number] = MovingAverageStage(config, latent_channels, commitment)
        elif method in estimators:
            quantizer.stages[number] = BaselineStage(config, latent_channels, estimators[method])
    return quantizer


def converted(
    quantizer: ResidualQuantizer, method: Method, *, commitment: float = COMMITMENT
) -> ResidualQuantizer:
    """A quantizer that trains by a method and holds the very parameters of `quantizer`, which an
    optimiser may know.
    """
    channels = next(iter(quantizer)).projection.shape[1]
    result = make_quantizer(
        method, [stage.config for stage in quantizer], channels, commitment=commitment
    )
    result.to(next(quantizer.parameters()).device)
    for ours, theirs in zip(result, quantizer, strict=True):
        ours.projection, ours.codebook = theirs.projection, theirs.codebook
        for name, value in theirs.named_buffers():
            ours.get_buffer(name).copy_(value)
    return result
