"""Holds all training audio in memory as 16-bit integers, and cuts crops from it, on the CPU or on a
GPU.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...errors import AudioError
from ...files.output import atomic_path
from .clips import Manifest, TrainingClip
from .crop_plan import CropConfig, CropPlanner
from .crops import finish_crops, read_mono

if TYPE_CHECKING:
    from jaxtyping import Float, Int16, Int64

__all__ = ["MemoryBank"]

_LAYOUT_VERSION = 1
_FULL_SCALE = 32768


class MemoryBank:
    """A manifest's audio, decoded once: one int16 tensor, clip behind clip, at the model's rate,
    channels averaged.

    Crops are those of a `CropDataset` with the same manifest and configuration (to the rounding to
    16 bits, for sources of other rates or more bits). An hour at 16 kHz takes 115 MB.

    Example:
        bank = MemoryBank.load(manifest, config, cache_folder=folder).to("cuda")
        batch = bank.crops(epoch, range(step * 64, step * 64 + 64))
    """

    def __init__(self, samples: Int16[Tensor, " total"], planner: CropPlanner) -> None:
        self._samples = samples
        self._planner = planner
        self._config = planner.config
        self._offsets = planner.lengths.cumsum(0) - planner.lengths

    @classmethod
    def load(
        cls,
        manifest: Manifest,
        config: CropConfig,
        *,
        cache_folder: str | os.PathLike[str] | None = None,
        jobs: int = os.cpu_count() or 1,
    ) -> MemoryBank:
        """Decode the manifest, or map what was decoded before.

        Args:
            manifest: What to decode.
            config: How crops are made; of it only the rate decides what is decoded.
            cache_folder: Where to keep the decoded audio, in a file named by the manifest's
                checksum and the rate: the next load, and other processes, map it and share its
                    memory. None keeps nothing.
            jobs: Files decoded at the same time.

        Raises:
            AudioError: A file cannot be read, or is not the one that the manifest was made from.
        """
        planner = CropPlanner(manifest, config)
        total = int(planner.lengths.sum())
        if cache_folder is None:
            samples = np.empty(total, dtype=np.int16)
            _decode(manifest, planner, samples, jobs)
        else:
            path = Path(cache_folder) / _cache_name(manifest, config.sample_rate_hz)
            if not path.exists():
                _decode_to_file(manifest, planner, path, total, jobs)
            samples = _map_file(path, total)
        with (
            warnings.catch_warnings()
        ):  # torch would warn that the map is read-only; nothing writes to it
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return cls(torch.from_numpy(samples), planner)

    @property
    def seconds(self) -> float:
        return len(self._samples) / self._config.sample_rate_hz

    def to(self, device: torch.device | str) -> MemoryBank:
        """Move audio and planning to a device; returns itself."""
        self._samples = self._samples.to(device)
        self._offsets = self._offsets.to(device)
        self._planner.to(device)
        return self

    def crops(
        self, epoch: int, indices: Int64[Tensor, " batch"] | Sequence[int]
    ) -> Float[Tensor, "batch 1 samples"]:
        """The crops of an epoch at the given indices: float32, peaks within ±0.98, on the bank's
        device.

        Nothing waits for the device. The result does not depend on how indices are put into
        batches.
        """
        plan = self._planner.plan(epoch, torch.as_tensor(indices, dtype=torch.int64))
        time = torch.arange(self._config.segment_samples, device=self._samples.device)
        place = plan.start[:, None] + time  # (batch, samples), within the clip
        length = self._planner.lengths[plan.clip][:, None]
        inside = (place >= 0) & (place < length)
        place = place.clamp(min=0).minimum(length - 1) + self._offsets[plan.clip][:, None]
        crops = torch.where(inside, self._samples[place], 0).float() / _FULL_SCALE
        return finish_crops(crops, plan, self._config)


def _cache_name(manifest: Manifest, sample_rate_hz: int) -> str:
    key = f"{_LAYOUT_VERSION} {sample_rate_hz} {manifest.checksum()}"
    return f"bank-{sample_rate_hz}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"


def _decode_to_file(
    manifest: Manifest, planner: CropPlanner, path: Path, total: int, jobs: int
) -> None:
    """Two processes may do this at once: each writes its own file, and the last one's name
    stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, overwrite=True) as temporary:
        samples = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.int16, shape=(total,))
        _decode(manifest, planner, samples, jobs)
        samples.flush()
        del samples  # Windows renames no mapped file


def _map_file(path: Path, total: int) -> np.ndarray:
    """Read-only: a copy-on-write map larger than memory is refused by the system."""
    try:
        samples = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise AudioError(
            f"cannot read the decoded audio {path}: {error}; delete the file"
        ) from error
    if samples.dtype != np.int16 or samples.shape != (total,):
        raise AudioError(
            f"{path} holds {samples.dtype} {samples.shape}, expected int16 ({total},); delete the "
            f"file"
        )
    return samples


def _decode(manifest: Manifest, planner: CropPlanner, samples: np.ndarray, jobs: int) -> None:
    ends = planner.lengths.cumsum(0).tolist()

    def decode(clip: TrainingClip, start: int, end: int) -> None:
        wave = read_mono(manifest, clip, planner.config.sample_rate_hz)
        np.clip(np.rint(wave * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1, out=wave)
        samples[start:end] = wave

    with ThreadPoolExecutor(jobs) as pool:  # decoding and resampling release the interpreter lock
        for _ in pool.map(decode, manifest.clips, [0, *ends[:-1]], ends):
            pass
