"""Drops stages, as a bitrate does, and frames, as networks lose them, in front of the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ..bitstream import GROUP_FRAMES
from ..layouts.config import ModelConfig
from ..streams.allocation import FLOOR_GROUPS, SMALLEST_POWER, stages_per_db
from .settings import TrainingConfig

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

FEWEST_STAGES_PER_SECOND = 35  # of a clip, on average: some 0.35 kbps
MOST_BURSTS, LONGEST_BURST_SECONDS = 3, 0.2  # of a clip that loses frames

_HALVINGS = 16  # of some 40 stages, to a thousandth of one


def active_stages(
    wave: Float[Tensor, "batch 1 time"],
    config: ModelConfig,
    settings: TrainingConfig,
    share: slice,
    clips: int,
    generator: torch.Generator,
) -> Int[Tensor, "batch frames"]:
    """Draw quantizer dropout: in `dropout_share` of the global batch of `clips`, a mean number of
    stages per clip.

    They are shared out over a clip's frames as `codec.streams.allocation` does for files, half to
    one and a half times as steeply. `share` are this process's clips.
    """
    stages = len(config.stages)
    fewest = max(FEWEST_STAGES_PER_SECOND / config.frame_rate_hz, config.least_stages)
    drawn = fewest + (stages - fewest) * torch.rand(clips, generator=generator)
    dropped = torch.rand(clips, generator=generator) < settings.dropout_share
    slope = stages_per_db(config.frame_rate_hz) * (0.5 + torch.rand(clips, generator=generator))
    both = torch.stack([torch.where(dropped, drawn, stages), slope])
    mean, slope = both[:, share, None].to(wave.device)
    return drop_stages(slope * group_levels(wave, config.hop), mean, stages, config.least_stages)


def lost_frames(
    clips: int,
    frames: int,
    frame_rate_hz: float,
    settings: TrainingConfig,
    generator: torch.Generator,
) -> Bool[Tensor, "batch frames"]:
    """Draw bursts of lost frames in `lost_share` of the clips."""
    lost = torch.zeros(clips, frames, dtype=torch.bool)
    longest = min(round(LONGEST_BURST_SECONDS * frame_rate_hz), frames)
    for clip in range(clips):
        loses = torch.rand((), generator=generator) < settings.lost_share
        bursts = int(torch.randint(1, MOST_BURSTS + 1, (), generator=generator))
        lengths = torch.randint(1, longest + 1, (MOST_BURSTS,), generator=generator).tolist()
        places = torch.rand(MOST_BURSTS, generator=generator).tolist()
        for length, place in list(zip(lengths, places, strict=True))[: bursts if loses else 0]:
            start = int(place * (frames - length + 1))
            lost[clip, start : start + length] = True
    return lost


def group_levels(wave: Float[Tensor, "batch 1 time"], hop: int) -> Float[Tensor, "batch frames"]:
    """Compute what `codec.streams.allocation` goes by: for each frame, the level in dB of its
    group.
    """
    power = F.avg_pool1d(wave.float().square(), hop)
    groups = F.avg_pool1d(
        power, GROUP_FRAMES, ceil_mode=True
    )  # the last one is of the frames that are left
    levels = 10 * (groups[:, 0] + SMALLEST_POWER).log10()
    return levels.repeat_interleave(GROUP_FRAMES, 1)[:, : power.shape[2]]


def drop_stages(
    wished: Float[Tensor, "batch frames"], mean: Float[Tensor, "batch 1"], most: int, fewest: int
) -> Int[Tensor, "batch frames"]:
    """`fewest` to `most` stages, as many more than others as is wished: on average the mean, or a
    little less.

    The first of every `FLOOR_GROUPS` groups keeps one at least, even where that is more than the
    mean.
    """
    group = torch.arange(wished.shape[1], device=wished.device) // GROUP_FRAMES
    least = (group % FLOOR_GROUPS == 0).to(wished.dtype).clamp_min(fewest)
    low, high = -1 - wished.amax(1, keepdim=True), most + 1 - wished.amin(1, keepdim=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kept = torch.maximum((wished + middle).round().clamp(0, most), least)
        fits = kept.mean(1, keepdim=True) <= mean
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return torch.maximum((wished + low).round().clamp(0, most), least).long()
