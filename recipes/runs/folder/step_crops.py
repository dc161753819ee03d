"""The crops of each step, from wherever the audio lies: on the device, in one mapped file, or in
the audio files.

All places give the same crops (but for the rounding to 16 bits that a bank makes of sources with
more bits or another rate), so the choice is one of memory and speed alone, and may change between a
stop and a resume.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from codec.training.data.clips import Manifest
from codec.training.data.crop_plan import CropConfig
from codec.training.data.crops import CropDataset
from codec.training.data.memory_bank import MemoryBank
from codec.training.trainer import Batches

Place = Literal["auto", "device", "memory", "files"]

_BYTES_PER_SAMPLE = 2
_DEVICE_SHARE = (
    0.5  # of the device's free memory that the audio may take; the rest is for the training
)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which crops of a step's batch are this process's."""

    batch_size: int  # over all processes
    processes: int
    index: int  # of this process

    def __call__(self, step: int) -> range:
        size = self.batch_size // self.processes
        first = step * self.batch_size + self.index * size
        return range(first, first + size)


class CropSource(Protocol):
    """What a `MemoryBank` and a `CropDataset` have in common."""

    def crops(self, epoch: int, indices: Sequence[int]) -> Tensor: ...


def open_batches(
    manifest: Manifest,
    config: CropConfig,
    share: Share,
    *,
    place: Place,
    cache_folder: Path,
    device: torch.device,
    workers: int,
) -> Batches:
    """A function from the step to this process's crops, (batch, 1, samples) on the device.

    Args:
        manifest: the audio to train on.
        config: how crops are made.
        share: which crops are this process's.
        place: "device": decoded audio in the device's memory, crops made there. "memory": decoded
            audio in a file that all processes map, so that it takes the machine's memory once;
            crops made by the workers. "files": nothing is decoded beforehand; the workers read
            parts of the audio files. "auto": "device", unless that is
            a GPU with too little free memory: then "memory".
        cache_folder: where decoded audio is kept.
        device: where the crops are wanted.
        workers: processes that make crops ahead of the steps, for "memory" and "files"; 0 makes
            them in this one.
    """
    if place == "auto":
        place = _fitting_place(manifest, config, device)
    if place == "files":
        return ReadAhead(
            partial(CropDataset, manifest, config, crops_per_epoch=1), share, workers, device
        )
    load = partial(MemoryBank.load, manifest, config, cache_folder=cache_folder)
    bank = load()
    if place == "memory":  # what was just decoded is mapped by each worker
        return ReadAhead(load, share, workers, device)
    bank.to(device)
    return lambda step: bank.crops(0, share(step))


def _fitting_place(
    manifest: Manifest, config: CropConfig, device: torch.device
) -> Literal["device", "memory"]:
    if device.type != "cuda":
        return "device"
    needed = _BYTES_PER_SAMPLE * manifest.seconds * config.sample_rate_hz
    free, _ = torch.cuda.mem_get_info(device)
    return "device" if needed <= _DEVICE_SHARE * free else "memory"


class ReadAhead:
    """Crops made ahead of the steps by worker processes. A step out of order starts them anew from
    there.
    """

    def __init__(
        self,
        open_source: Callable[[], CropSource],
        share: Share,
        workers: int,
        device: torch.device,
    ) -> None:
        self._steps = _Steps(open_source, share)
        self._workers, self._device = workers, device
        self._batches: Iterator[Tensor] = iter(())
        self._next_step = -1

    def __call__(self, step: int) -> Tensor:
        if step != self._next_step:
            self._batches = iter(self._loader(step))
        self._next_step = step + 1
        return next(self._batches).to(self._device, non_blocking=True)

    def _loader(self, first_step: int) -> DataLoader[Tensor]:
        return DataLoader(
            self._steps,
            batch_size=None,  # an item is a batch already
            sampler=itertools.count(first_step),
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=_leave_stop_signals_to_the_trainer if self._workers else None,
        )


class _Steps(Dataset[Tensor]):
    """Item `step` is a process's share of that step's batch. Each worker opens a source of its
    own.
    """

    def __init__(self, open_source: Callable[[], CropSource], share: Share) -> None:
        self._open_source, self._share = open_source, share
        self._source: CropSource | None = None

    def __getitem__(self, step: int) -> Tensor:
        if self._source is None:
            self._source = self._open_source()
        return self._source.crops(0, self._share(step))


def _leave_stop_signals_to_the_trainer(_worker: int) -> None:
    """A scheduler signals the whole process group; workers live on until the state is saved."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
