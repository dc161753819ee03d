"""Crops of a step: the same from each place, each number of workers, each way to share them among
processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
import torch
from synthesis import write_corpus

from codec.training.data.crop_plan import CropConfig
from codec.training.data.crops import CropDataset
from codec.training.data.manifest import build_manifest
from recipes.runs.folder import step_crops
from recipes.runs.folder.step_crops import ReadAhead, Share, open_batches

CONFIG = CropConfig(sample_rate_hz=16_000, segment_samples=4_000, seed=3)
CPU = torch.device("cpu")
WHOLE = Share(batch_size=6, processes=1, index=0)
STEPS = (0, 1, 2, 0, 7, 8)  # a start of the codebooks reads ahead, then goes back


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return build_manifest(write_corpus(tmp_path_factory.mktemp("corpus"), [1.5, 3.0, 0.6]))[0]


@pytest.fixture(scope="module")
def expected(manifest):
    dataset = CropDataset(manifest, CONFIG, crops_per_epoch=1000)
    return {step: dataset.crops(0, range(step * 6, step * 6 + 6)) for step in STEPS}


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create"
)  # where a test may use one CPU alone
@pytest.mark.parametrize(
    ("place", "workers"),
    [("device", 0), ("auto", 0), ("memory", 0), ("memory", 2), ("files", 0), ("files", 2)],
)
def test_crops_are_the_same_from_each_place(manifest, expected, tmp_path, place, workers):
    found = open_batches(
        manifest, CONFIG, WHOLE, place=place, cache_folder=tmp_path, device=CPU, workers=workers
    )
    assert isinstance(found, ReadAhead) == (place in ("memory", "files"))
    for step in STEPS:
        assert torch.equal(found(step), expected[step]), step
    assert [path.suffix for path in tmp_path.iterdir()] == ([] if place == "files" else [".npy"])


def test_sources_of_another_rate_differ_by_the_banks_rounding(tmp_path):
    manifest, _ = build_manifest(
        write_corpus(tmp_path / "speech", [1.5, 1.0], sample_rate_hz=24_000)
    )
    options = {"cache_folder": tmp_path, "device": CPU, "workers": 0}
    quiet = CropConfig(sample_rate_hz=16_000, segment_samples=4_000, level_dbfs=(-25.0, -25.0))
    one, other = (
        open_batches(manifest, quiet, WHOLE, place=place, **options)(0)
        for place in ("memory", "files")
    )
    assert not torch.equal(one, other)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_processes_share_the_batch_in_order(manifest, expected, tmp_path):
    shares = [
        open_batches(
            manifest,
            CONFIG,
            Share(batch_size=6, processes=3, index=index),
            place="files",
            cache_folder=tmp_path,
            device=CPU,
            workers=0,
        )
        for index in range(3)
    ]
    for step in STEPS:
        assert torch.equal(torch.cat([share(step) for share in shares]), expected[step])


def test_workers_outlive_the_stop_signal_of_a_scheduler(manifest, expected, tmp_path):
    """It is sent to the whole process group; the trainer saves its state first, and may need
    another batch.
    """
    crops = open_batches(
        manifest, CONFIG, WHOLE, place="files", cache_folder=tmp_path, device=CPU, workers=1
    )
    assert torch.equal(crops(0), expected[0])
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    for step in (1, 2):
        assert torch.equal(crops(step), expected[step])
    worker.join(timeout=0.2)
    assert worker.is_alive()


@pytest.mark.parametrize(("free_bytes", "place"), [(100_000_000, "device"), (200_000, "memory")])
def test_a_gpu_holds_what_leaves_room_for_training(manifest, monkeypatch, free_bytes, place):
    """5.1 s of audio are 163 kB."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 10 * free_bytes))
    assert step_crops._fitting_place(manifest, CONFIG, torch.device("cuda")) == place
