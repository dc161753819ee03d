"""Crops for training, read from the audio files as they are needed. `MemoryBank` holds the whole
set in memory.

A crop is item `index` of an `epoch`; it depends on these two and the seed alone (see `crop_plan`),
so neither the number of workers and processes nor a resume changes the data: the state of a run is
(epoch, next index).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...audio import open_audio
from ...audio.resampling import resample_blocks
from ...errors import AudioError, ConfigError
from .augment import augment
from .clips import Manifest, TrainingClip
from .crop_plan import CropConfig, CropPlan, CropPlanner

if TYPE_CHECKING:
    from jaxtyping import Float

_PEAK = 0.98
# Far more than half the length of soxr's filters, so that a part of a file resamples as it does
# within the whole.
_MARGIN_SECONDS = 0.05


class CropDataset(Dataset[Tensor]):
    """A map-style dataset of crops, (1, segment_samples) each.

    It is indexed by position = epoch · crops_per_epoch + index, so that workers need not be told
    the epoch: `epoch_positions` is the sampler of an epoch, or of what is left of it.

    Example:
        loader = DataLoader(dataset, batch_size=16, sampler=dataset.epoch_positions(epoch,
        next_index))
    """

    def __init__(self, manifest: Manifest, config: CropConfig, *, crops_per_epoch: int) -> None:
        if crops_per_epoch < 1:
            raise ConfigError(f"crops_per_epoch is at least 1, not {crops_per_epoch}")
        self._manifest = manifest
        self._config = config
        self._crops_per_epoch = crops_per_epoch
        self._planner = CropPlanner(manifest, config)

    def __len__(self) -> int:
        """Crops in an epoch; positions go on beyond it."""
        return self._crops_per_epoch

    def epoch_positions(self, epoch: int, next_index: int = 0) -> range:
        """The positions of an epoch from `next_index` on."""
        return range(
            epoch * self._crops_per_epoch + next_index, (epoch + 1) * self._crops_per_epoch
        )

    def __getitem__(self, position: int) -> Float[Tensor, "1 samples"]:
        epoch, index = divmod(position, self._crops_per_epoch)
        return self.crops(epoch, [index])[0]

    def crops(self, epoch: int, indices: Sequence[int]) -> Float[Tensor, "batch 1 samples"]:
        """The crops of an epoch at the given indices: float32, peaks within ±0.98.

        Raises:
            AudioError: A file cannot be read, or is not the one that the manifest was made from.
        """
        plan = self._planner.plan(epoch, torch.as_tensor(indices, dtype=torch.int64))
        crops = torch.from_numpy(np.stack([self._read(*item) for item in _items(plan)]))
        return finish_crops(crops, plan, self._config)

    def _read(self, clip_index: int, start: int) -> np.ndarray:
        """One crop as it is in the file, zeros where the clip does not reach."""
        length = int(self._planner.lengths[clip_index])
        first, last = max(start, 0), min(start + self._config.segment_samples, length)
        crop = np.zeros(self._config.segment_samples, dtype=np.float32)
        clip = self._manifest.clips[clip_index]
        crop[first - start : last - start] = _read_part(
            self._manifest, clip, self._config.sample_rate_hz, first, last
        )
        return crop


def _items(plan: CropPlan) -> list[tuple[int, int]]:
    return list(zip(plan.clip.tolist(), plan.start.tolist(), strict=True))


def finish_crops(
    crops: Float[Tensor, "batch samples"], plan: CropPlan, config: CropConfig
) -> Float[Tensor, "batch 1 samples"]:
    """Augment, and apply the planned gain, or the smaller one that keeps the peaks within ±0.98."""
    crops = augment(crops, plan.keys, config.augment, sample_rate_hz=config.sample_rate_hz)
    peak = crops.abs().amax(dim=1).clamp(min=1e-9)
    gain = torch.minimum(plan.gain, _PEAK / peak)
    return (crops * gain[:, None])[:, None]


def read_mono(
    manifest: Manifest, clip: TrainingClip, sample_rate_hz: int
) -> Float[np.ndarray, " samples"]:
    """Read a whole clip, the mean of its channels, at a rate."""
    return _read_part(manifest, clip, sample_rate_hz, 0, None)


def _read_part(
    manifest: Manifest, clip: TrainingClip, sample_rate_hz: int, first: int, last: int | None
) -> Float[np.ndarray, " samples"]:
    """Samples [first, last) of the clip at `sample_rate_hz`; `last` None is its end."""
    with open_audio(manifest.root / clip.path) as reader:
        found = (reader.sample_rate_hz, reader.channels)
        if found != (clip.sample_rate_hz, clip.channels) or reader.frames not in (
            clip.frames,
            None,
        ):
            raise AudioError(
                f"{reader.name} has changed since the manifest was made; make the manifest anew"
            )
        begin, end, skipped = _source_range(clip, sample_rate_hz, first, last)
        block = reader.read(begin, end - begin).mean(axis=0, keepdims=True)
    blocks = resample_blocks([block], from_hz=clip.sample_rate_hz, to_hz=sample_rate_hz, channels=1)
    wave = np.concatenate(list(blocks), axis=1)[0]
    return wave[first - skipped : None if last is None else last - skipped]


def _source_range(
    clip: TrainingClip, sample_rate_hz: int, first: int, last: int | None
) -> tuple[int, int, int]:
    """The frames [begin, end) of the file to read, and which sample at `sample_rate_hz` `begin`
    falls on.
    """
    rate_hz = clip.sample_rate_hz
    margin = 0 if rate_hz == sample_rate_hz else round(_MARGIN_SECONDS * rate_hz)
    common = int(np.gcd(rate_hz, sample_rate_hz))
    step = rate_hz // common  # every so many frames one of them falls on a sample
    begin = max(0, first * rate_hz // sample_rate_hz - margin) // step * step
    end = (
        clip.frames
        if last is None
        else min(clip.frames, -(-last * rate_hz // sample_rate_hz) + margin)
    )
    return begin, end, begin // step * (sample_rate_hz // common)
