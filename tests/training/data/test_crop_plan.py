"""Which crops are chosen: shares of clips and speakers, places with speech, levels; and that only
the key decides.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import ConfigError
from codec.training.data.clips import Manifest, TrainingClip
from codec.training.data.crop_plan import CropConfig, CropPlanner

CONFIG = CropConfig(sample_rate_hz=16_000, segment_samples=16_000)
MANY = torch.arange(20_000)


def clip(levels: list[int], speaker: str = "a", sample_rate_hz: int = 16_000) -> TrainingClip:
    frames = len(levels) * sample_rate_hz // 10
    return TrainingClip(
        path="x.wav",
        frames=frames,
        sample_rate_hz=sample_rate_hz,
        channels=1,
        speaker=speaker,
        sha256="",
        levels=bytes(levels),
    )


def planner(*clips: TrainingClip, **options) -> CropPlanner:
    return CropPlanner(Manifest(root=Path(), clips=clips), dataclasses.replace(CONFIG, **options))


def shares(plan) -> np.ndarray:
    return np.bincount(plan.clip.numpy()) / len(plan.clip)


def test_clips_are_drawn_by_duration_whatever_their_rate():
    chosen = planner(
        clip([20] * 10, "a"),
        clip([20] * 30, "b", 44_100),
        clip([20] * 60, "c"),
        max_speaker_share=1,
    )
    assert shares(chosen.plan(0, MANY)) == pytest.approx([0.1, 0.3, 0.6], abs=0.02)


def test_speakers_are_capped_and_the_rest_is_shared_by_duration():
    clips = [
        clip([20] * 700, "a"),
        clip([20] * 100, "a"),
        clip([20] * 120, "b"),
        clip([20] * 60, "c"),
    ]
    # "a" has 82 %, and gets 50; "b" and "c" share the rest 2 : 1.
    chosen = planner(*clips, max_speaker_share=0.5)
    assert shares(chosen.plan(0, MANY)) == pytest.approx([0.4375, 0.0625, 0.3333, 0.1667], abs=0.02)
    # 40 % for "a"; the rest would give "b" 40 % too, its limit, so that 20 % are left for "c".
    chosen = planner(*clips, max_speaker_share=0.38)
    assert shares(chosen.plan(0, MANY)) == pytest.approx([0.3325, 0.0475, 0.38, 0.24], abs=0.02)
    # No share below an even one is possible.
    chosen = planner(*clips, max_speaker_share=0.05)
    assert shares(chosen.plan(0, MANY)) == pytest.approx([0.2917, 0.0417, 0.3333, 0.3333], abs=0.02)


def test_crops_lie_where_there_is_speech():
    """20 s with 4 s of speech: an even choice would have half a crop of speech in one of five."""
    levels = np.full(200, 70)
    levels[80:120] = 25
    for candidates, low, high in [(1, 0.15, 0.27), (4, 0.5, 0.75), (16, 0.95, 1.0)]:
        plan = planner(clip(levels.tolist()), candidates=candidates).plan(0, MANY)
        starts = plan.start.numpy()
        assert starts.min() >= 0
        assert starts.max() <= 19 * 16_000
        overlap = np.minimum(starts + 16_000, 12 * 16_000) - np.maximum(starts, 8 * 16_000)
        assert low <= (overlap >= 7_000).mean() <= high


def test_quiet_speech_beside_loud_speech_counts_and_a_click_does_not():
    """Within 20 dB of the loudest twentieth all places are equal; one loud block is no measure for
    the rest.
    """
    levels = [20] * 100 + [38] * 100
    levels[150] = 0
    starts = planner(clip(levels)).plan(0, MANY).start.double()
    assert torch.histc(starts, bins=4).div(len(MANY)).tolist() == pytest.approx(
        [0.25] * 4, abs=0.02
    )


def test_short_clips_lie_anywhere_within_the_crop():
    starts = planner(clip([20] * 5)).plan(0, MANY).start
    assert -8000 <= starts.min() < -7990
    assert -10 < starts.max() <= 0
    assert starts.double().mean() == pytest.approx(-4000, abs=60)
    assert (planner(clip([20] * 10)).plan(0, MANY).start == 0).all()


@pytest.mark.parametrize("level_dbfs", [(-45.0, -8.0), (-20.0, -20.0)])
def test_gain_brings_the_speech_to_the_drawn_level(level_dbfs):
    """Speech at -30 dBFS, pauses at -70: the level is that of the speech."""
    plan = planner(clip([30, 30, 70, 70] * 10), level_dbfs=level_dbfs).plan(0, MANY)
    level = 20 * torch.log10(plan.gain) - 30
    low, high = level_dbfs
    assert level.min().item() == pytest.approx(low, abs=0.01)
    assert level.max().item() == pytest.approx(high, abs=0.01)
    assert level.double().mean().item() == pytest.approx((low + high) / 2, abs=0.3)


def test_only_seed_epoch_and_index_decide():
    chosen = planner(clip([20, 60] * 40, "a"), clip([30] * 50, "b"), clip([20] * 4, "c"))
    whole = chosen.plan(3, MANY[:500])
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    for part in order.split(37):
        for name in ("clip", "start", "gain", "keys"):
            assert torch.equal(getattr(chosen.plan(3, part), name), getattr(whole, name)[part])
    assert (chosen.plan(4, MANY[:500]).start != whole.start).float().mean() > 0.9
    other = planner(clip([20, 60] * 40, "a"), clip([30] * 50, "b"), clip([20] * 4, "c"), seed=1)
    assert (other.plan(3, MANY[:500]).start != whole.start).float().mean() > 0.9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz is 10 to 768000, not 0"),
        ({"segment_samples": 0}, "segment_samples is at least 1, not 0"),
        ({"candidates": 0}, "candidates is 1 to 64, not 0"),
        ({"max_speaker_share": 0.0}, "max_speaker_share is above 0 and at most 1, not 0.0"),
        (
            {"level_dbfs": (-8.0, -45.0)},
            "level_dbfs is a range that ends at 0 or below, not (-8.0, -45.0)",
        ),
    ],
)
def test_wrong_configurations_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(CONFIG, **wrong)


def test_an_empty_manifest_is_refused():
    with pytest.raises(ConfigError, match="lists no clips"):
        planner()
