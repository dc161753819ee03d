"""Plans the crop of item (seed, epoch, index): clip, place and gain, from the manifest alone.

Both ways to load (`CropDataset`, `MemoryBank`) follow this plan, so they give the same crops.

Clip: drawn in proportion to its duration, but no speaker gets more than `max_speaker_share` of all
crops (or an even share, where there are few speakers); the excess goes to the others in proportion
to what they have.

Place: of `candidates` places, evenly drawn, the first one with speech in half of it, else the one
with the most. A block of 0.1 s counts as speech within 20 dB of the clip's loud parts (the loudest
twentieth of its blocks). A clip that is shorter than a crop lies somewhere inside of it, between
zeros.

Gain: brings the clip's speech, not the crop, to a level drawn evenly in dB from `level_dbfs`: quiet
passages stay quieter than loud ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...audio.resampling import resampled_length
from ...errors import ConfigError
from ...layouts.config import MAX_RATE_HZ
from .augment import AugmentConfig
from .clips import LEVELS_PER_SECOND, Manifest
from .counter_random import item_keys, uniform

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

__all__ = ["CropConfig", "CropPlan", "CropPlanner"]

_SPEECH_RANGE_DB = 20
_LOUD_SHARE = 20  # one block in so many

# Which number of an item's key is drawn for what; `augment` has those from 100 on.
_CLIP, _LEVEL, _PLACE = 0, 1, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class CropConfig:
    """How crops are made."""

    sample_rate_hz: int
    segment_samples: int
    seed: int = 0
    level_dbfs: tuple[float, float] = (-45.0, -8.0)
    candidates: int = 4
    max_speaker_share: float = 0.05
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        if not LEVELS_PER_SECOND <= self.sample_rate_hz <= MAX_RATE_HZ:
            raise ConfigError(
                f"sample_rate_hz is {LEVELS_PER_SECOND} to {MAX_RATE_HZ}, not {self.sample_rate_hz}"
            )
        if self.segment_samples < 1:
            raise ConfigError(f"segment_samples is at least 1, not {self.segment_samples}")
        if not 1 <= self.candidates <= 64:
            raise ConfigError(f"candidates is 1 to 64, not {self.candidates}")
        if not 0 < self.max_speaker_share <= 1:
            raise ConfigError(
                f"max_speaker_share is above 0 and at most 1, not {self.max_speaker_share}"
            )
        if not self.level_dbfs[0] <= self.level_dbfs[1] <= 0:
            raise ConfigError(
                f"level_dbfs is a range that ends at 0 or below, not {self.level_dbfs}"
            )


@dataclass(frozen=True, slots=True)
class CropPlan:
    """A batch of crops. `start` is in samples of the clip at the model's rate, negative for a clip
    put in later.
    """

    clip: Int64[Tensor, " batch"]
    start: Int64[Tensor, " batch"]
    gain: Float[Tensor, " batch"]
    keys: Int64[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class _Tables:
    """The manifest as tensors: per clip, and (`speech_before`) for all blocks of all clips one
    after the other.
    """

    cumulative_share: Tensor  # float64, ends at 1
    length: Tensor  # int64, samples at the model's rate
    level_dbfs: Tensor  # float64, of the clip's speech
    blocks: Tensor  # int64
    offset: (
        Tensor  # int64: clip k has speech_before[offset[k]] … speech_before[offset[k] + blocks[k]]
    )
    speech_before: Tensor  # int32: blocks of speech in the clip before a block


class CropPlanner:
    """Plans crops of a manifest; `to` moves its tables, and so the planning, to a device."""

    def __init__(self, manifest: Manifest, config: CropConfig) -> None:
        if not manifest.clips:
            raise ConfigError("the manifest lists no clips, so there is nothing to crop from")
        self.config = config
        self._tables = _make_tables(manifest, config)

    def to(self, device: torch.device | str) -> CropPlanner:
        """Move to a device; returns itself."""
        fields = {
            field.name: getattr(self._tables, field.name) for field in dataclasses.fields(_Tables)
        }
        self._tables = _Tables(**{name: tensor.to(device) for name, tensor in fields.items()})
        return self

    @property
    def lengths(self) -> Int64[Tensor, " clips"]:
        """Samples of each clip at the model's rate."""
        return self._tables.length

    def plan(self, epoch: int, indices: Int64[Tensor, " batch"]) -> CropPlan:
        """Plan each (epoch, index), on the planner's device; `indices` is moved there."""
        tables = self._tables
        keys = item_keys(self.config.seed, epoch, indices.to(tables.length.device))
        clip = torch.searchsorted(tables.cumulative_share, uniform(keys, _CLIP), right=True)
        clip = clip.clamp(max=len(tables.length) - 1)
        low, high = self.config.level_dbfs
        target_dbfs = low + (high - low) * uniform(keys, _LEVEL)
        gain = 10 ** ((target_dbfs - tables.level_dbfs[clip]) / 20)
        return CropPlan(clip=clip, start=self._place(keys, clip), gain=gain.float(), keys=keys)

    def _place(self, keys: Tensor, clip: Tensor) -> Tensor:
        candidate = torch.arange(self.config.candidates, device=keys.device)
        room = (self._tables.length[clip] - self.config.segment_samples)[
            :, None
        ]  # negative: the clip is shorter
        draws = uniform(keys[:, None], _PLACE + candidate)
        starts = room.clamp(max=0) + (draws * (room.abs() + 1)).long()  # (batch, candidates)
        speech, blocks = self._speech_in(clip[:, None], starts)
        enough = 2 * speech >= blocks
        # One integer ranks the candidates: enough speech first, then the most, then the earliest
        # drawn.
        rank = torch.where(enough, 1 << 32, speech.long()) * len(candidate) - candidate
        return starts.gather(1, rank.argmax(dim=1, keepdim=True)).squeeze(1)

    def _speech_in(self, clip: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Blocks of speech, and all blocks, that a crop at `starts` touches."""
        tables, rate_hz = self._tables, self.config.sample_rate_hz
        ends = torch.minimum(starts + self.config.segment_samples, tables.length[clip])
        last = tables.blocks[clip]
        first_block = torch.minimum(starts.clamp(min=0) * LEVELS_PER_SECOND // rate_hz, last - 1)
        end_block = torch.minimum(-(-ends * LEVELS_PER_SECOND // rate_hz), last)
        before = tables.speech_before
        speech = before[tables.offset[clip] + end_block] - before[tables.offset[clip] + first_block]
        return speech, end_block - first_block


def _make_tables(manifest: Manifest, config: CropConfig) -> _Tables:
    blocks = np.array([len(clip.levels) for clip in manifest.clips])
    per_clip = [_speech(np.frombuffer(clip.levels, dtype=np.uint8)) for clip in manifest.clips]
    lengths = [
        resampled_length(clip.frames, clip.sample_rate_hz, config.sample_rate_hz)
        for clip in manifest.clips
    ]
    return _Tables(
        cumulative_share=torch.from_numpy(
            np.cumsum(_clip_shares(manifest, config.max_speaker_share))
        ),
        length=torch.tensor(lengths, dtype=torch.int64),
        level_dbfs=torch.tensor([level for level, _ in per_clip], dtype=torch.float64),
        blocks=torch.from_numpy(blocks),
        offset=torch.from_numpy(np.cumsum(blocks + 1) - (blocks + 1)),
        speech_before=torch.from_numpy(np.concatenate([counts for _, counts in per_clip])),
    )


def _speech(levels: np.ndarray) -> tuple[float, np.ndarray]:
    """The level of a clip's speech in dBFS, and the blocks of speech before each block and in all
    (blocks + 1).
    """
    loud = int(
        np.partition(levels, len(levels) // _LOUD_SHARE)[len(levels) // _LOUD_SHARE]
    )  # dB below full scale
    is_speech = levels <= loud + _SPEECH_RANGE_DB
    power = np.mean(10.0 ** (levels[is_speech].astype(float) / -10))
    return float(10 * np.log10(power)), np.cumsum(np.concatenate([[0], is_speech]), dtype=np.int32)


def _clip_shares(manifest: Manifest, max_speaker_share: float) -> np.ndarray:
    seconds = np.array([clip.seconds for clip in manifest.clips])
    _, speaker = np.unique([clip.speaker for clip in manifest.clips], return_inverse=True)
    speaker_seconds = np.bincount(speaker, weights=seconds)
    return seconds * (_capped_shares(speaker_seconds, max_speaker_share) / speaker_seconds)[speaker]


def _capped_shares(amounts: np.ndarray, limit: float) -> np.ndarray:
    """Normalise amounts to shares, none above the limit (or an even share, if that is more)."""
    limit = max(limit, 1 / len(amounts))
    shares = amounts / amounts.sum()
    capped = np.zeros(len(amounts), dtype=bool)
    while (over := ~capped & (shares > limit)).any():
        capped |= over
        rest = amounts[~capped].sum()
        shares = np.where(capped, limit, amounts * (1 - limit * capped.sum()) / max(rest, 1e-300))
    return shares / shares.sum()
