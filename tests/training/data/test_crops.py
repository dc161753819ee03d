"""Crops from files and from memory: the samples are those of the file, and both ways give the
same.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile
import soxr
import torch
from synthesis import synthesize_speech, write_corpus
from torch.utils.data import DataLoader

from codec.errors import AudioError, ConfigError
from codec.training.data.augment import AugmentConfig
from codec.training.data.crop_plan import CropConfig, CropPlanner
from codec.training.data.crops import CropDataset
from codec.training.data.manifest import build_manifest
from codec.training.data.memory_bank import MemoryBank

CONFIG = CropConfig(sample_rate_hz=16_000, segment_samples=8_000, seed=5)
INDICES = range(40)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three clips: longer than a crop, much longer, and shorter."""
    root = write_corpus(tmp_path_factory.mktemp("corpus"), [1.5, 6.0, 0.4 + 0.2])
    return build_manifest(root)[0]


@pytest.fixture(scope="module")
def dataset(manifest):
    return CropDataset(manifest, CONFIG, crops_per_epoch=100)


def test_crops_are_the_files_samples_at_the_planned_gain(manifest):
    config = dataclasses.replace(CONFIG, segment_samples=12_000)
    dataset = CropDataset(manifest, config, crops_per_epoch=100)
    plan = CropPlanner(manifest, config).plan(2, torch.tensor(INDICES))
    crops = dataset.crops(2, INDICES)
    assert (crops.shape, crops.dtype) == ((40, 1, 12_000), torch.float32)
    assert len(plan.clip.unique()) == 3
    for item, crop in enumerate(crops[:, 0].numpy()):
        wave, _ = soundfile.read(
            manifest.root / manifest.clips[plan.clip[item]].path, dtype="float32"
        )
        padded = np.pad(wave, 12_000)
        start = int(plan.start[item]) + 12_000
        expected = padded[start : start + 12_000]
        gain = min(plan.gain[item].item(), 0.98 / np.abs(expected).max())
        np.testing.assert_allclose(crop, gain * expected, rtol=0, atol=1e-6)


def test_levels_span_the_range_and_peaks_stay_below_full_scale(dataset):
    crops = dataset.crops(0, range(100))
    level_dbfs = 10 * torch.log10(crops.square().mean(dim=(1, 2)))
    assert level_dbfs.min() < -38
    assert level_dbfs.max() > -16
    peaks = crops.abs().amax(dim=(1, 2))
    assert peaks.max() == pytest.approx(0.98, abs=1e-6)
    assert (peaks < 0.97).float().mean() > 0.5


def test_memory_gives_the_same_crops(manifest, dataset):
    bank = MemoryBank.load(manifest, CONFIG)
    assert bank.seconds == pytest.approx(8.1)
    for epoch in (0, 7):
        assert torch.equal(bank.crops(epoch, INDICES), dataset.crops(epoch, INDICES))


@pytest.mark.parametrize("source", [CropDataset, MemoryBank])
def test_batches_change_nothing(manifest, dataset, source):
    loader = dataset if source is CropDataset else MemoryBank.load(manifest, CONFIG, jobs=1)
    whole = loader.crops(1, INDICES)
    order = np.random.default_rng(0).permutation(40).tolist()
    for part in (order[:1], order[1:8], order[8:]):
        assert torch.equal(loader.crops(1, part), whole[part])


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create"
)  # where a test may use one CPU alone
def test_workers_and_a_resume_change_nothing(dataset):
    expected = torch.cat([dataset.crops(3, range(90, 100)), dataset.crops(4, range(6))])
    positions = [*dataset.epoch_positions(3, next_index=90), *dataset.epoch_positions(4)[:6]]
    loader = DataLoader(
        dataset, batch_size=4, sampler=positions, num_workers=1, multiprocessing_context="spawn"
    )
    assert torch.equal(torch.cat(list(loader)), expected)
    assert len(dataset) == len(dataset.epoch_positions(9)) == 100


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 24_000, 44_100, 48_000])
def test_other_rates_are_resampled_as_the_whole_file_is(tmp_path, sample_rate_hz):
    manifest, _ = build_manifest(
        write_corpus(tmp_path, [3.0, 0.7], sample_rate_hz=sample_rate_hz, suffix=".flac")
    )
    config = dataclasses.replace(CONFIG, level_dbfs=(-20.0, -20.0))
    planner = CropPlanner(manifest, config)
    plan = planner.plan(0, torch.tensor(INDICES))
    crops = CropDataset(manifest, config, crops_per_epoch=100).crops(0, INDICES)
    assert len(plan.clip.unique()) == 2
    for item, crop in enumerate(crops[:, 0].numpy()):
        wave, _ = soundfile.read(
            manifest.root / manifest.clips[plan.clip[item]].path, dtype="float32"
        )
        whole = np.pad(soxr.resample(wave, sample_rate_hz, 16_000, quality="VHQ"), 8_001)
        start = int(plan.start[item]) + 8_001
        np.testing.assert_allclose(
            crop, plan.gain[item].item() * whole[start : start + 8_000], rtol=0, atol=1e-5
        )
    bank = MemoryBank.load(manifest, config)
    # The bank rounds to 16 bits before the gain.
    torch.testing.assert_close(
        bank.crops(0, INDICES), crops, rtol=0, atol=2**-16 * float(plan.gain.max()) + 1e-5
    )


def test_channels_are_averaged(tmp_path):
    left, right = synthesize_speech(1.0, seed=1), synthesize_speech(1.0, seed=2)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    manifest, _ = build_manifest(tmp_path)
    config = dataclasses.replace(CONFIG, segment_samples=16_000)
    crop = CropDataset(manifest, config, crops_per_epoch=1)[0][0].numpy()
    mean = (left + right) / 2
    np.testing.assert_allclose(
        crop / np.abs(crop).max(), mean / np.abs(mean).max(), rtol=0, atol=1e-5
    )


def test_augmented_crops_agree_too(manifest):
    augment = AugmentConfig(tilt_share=0.5, reverb_share=0.5, noise_share=0.5)
    config = dataclasses.replace(CONFIG, augment=augment)
    dataset = CropDataset(manifest, config, crops_per_epoch=100)
    crops = dataset.crops(0, INDICES)
    assert crops.abs().max() <= 0.98001
    torch.testing.assert_close(
        MemoryBank.load(manifest, config).crops(0, INDICES), crops, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(dataset[17], crops[17], rtol=0, atol=1e-5)


def test_decoded_audio_is_kept_and_mapped(manifest, tmp_path):
    bank = MemoryBank.load(manifest, CONFIG, cache_folder=tmp_path / "cache")
    expected = bank.crops(0, INDICES)
    gone = dataclasses.replace(manifest, root=tmp_path / "gone")
    again = MemoryBank.load(gone, CONFIG, cache_folder=tmp_path / "cache")
    assert torch.equal(again.crops(0, INDICES), expected)
    with pytest.raises(AudioError, match="cannot read"):  # another rate is decoded anew
        MemoryBank.load(
            gone, dataclasses.replace(CONFIG, sample_rate_hz=8000), cache_folder=tmp_path / "cache"
        )
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:1000])
    with pytest.raises(AudioError, match="delete the file"):
        MemoryBank.load(manifest, CONFIG, cache_folder=tmp_path / "cache")


@pytest.mark.parametrize("change", [{"channels": 2}, {"sample_rate_hz": 8000}, {"seconds": 1.1}])
def test_files_that_changed_since_are_noticed(tmp_path, change):
    manifest, _ = build_manifest(write_corpus(tmp_path, [1.0]))
    wave = synthesize_speech(change.get("seconds", 1.0))
    samples = np.stack([wave] * change.get("channels", 1), axis=1)
    soundfile.write(
        tmp_path / manifest.clips[0].path, samples, change.get("sample_rate_hz", 16_000)
    )
    with pytest.raises(AudioError, match="has changed since the manifest was made"):
        CropDataset(manifest, CONFIG, crops_per_epoch=1)[0]
    with pytest.raises(AudioError, match="has changed since the manifest was made"):
        MemoryBank.load(manifest, CONFIG, cache_folder=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_epoch_has_crops(manifest):
    with pytest.raises(ConfigError, match="crops_per_epoch is at least 1, not 0"):
        CropDataset(manifest, CONFIG, crops_per_epoch=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_crops(manifest):
    config = dataclasses.replace(
        CONFIG, augment=AugmentConfig(tilt_share=0.5, reverb_share=0.5, noise_share=0.5)
    )
    bank = MemoryBank.load(manifest, config)
    expected = bank.crops(0, INDICES)
    torch.testing.assert_close(bank.to("cuda").crops(0, INDICES).cpu(), expected, rtol=0, atol=1e-4)
