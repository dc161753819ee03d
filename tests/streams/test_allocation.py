"""How stages are spread over frames: within the budget, as much of it as can be, and more where it
is louder.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import GROUP_FRAMES, NONE, StageLayout, StreamHeader
from codec.bitstream.stage_counts import pack_depths
from codec.streams.allocation import (
    SMALLEST_POWER,
    RateAllocator,
    allocate,
    frame_powers,
    least_depths,
    stages_per_db,
)
from codec.streams.live_allocation import LiveAllocation
from codec.training.stage_dropout import group_levels as group_levels_of_tensors

SLOPE = stages_per_db(50.0)


def cost_bits(depths: np.ndarray, bits: list[int]) -> int:
    """What a channel's packet takes, counted in the simplest way; the field of depths but for its
    last byte's fill.
    """
    field = int.from_bytes(pack_depths(depths, len(bits)), "big")
    length = 8 * len(pack_depths(depths, len(bits)))
    steps = np.diff(depths[0, ::GROUP_FRAMES], prepend=(len(bits) + 1) // 2)
    used = sum(abs(int(step)) + (2 if step else 1) for step in steps)
    assert 0 <= length - used < 8
    assert field % (1 << (length - used)) == 0
    return used + sum(sum(bits[:depth]) for depth in depths[0].tolist())


def levels_of(powers: np.ndarray) -> np.ndarray:
    """Level in dB of the group that each frame is in, group by group."""
    groups = [
        powers[:, start : start + GROUP_FRAMES] for start in range(0, powers.shape[1], GROUP_FRAMES)
    ]
    means = [
        np.repeat(group.mean(axis=1, keepdims=True), group.shape[1], axis=1) for group in groups
    ]
    return 10 * np.log10(np.concatenate(means, axis=1) + SMALLEST_POWER)


@settings(max_examples=100, deadline=None)
@given(
    rng=st.integers(0, 2**32 - 1).map(np.random.default_rng),
    frames=st.integers(1, 100),
    bits=st.lists(st.integers(1, 12), min_size=2, max_size=16),
    share=st.floats(0, 1),
    least_stages=st.integers(0, 1),
    expected=st.sampled_from([1, 0.87]),
    framing=st.sampled_from([0.0, 4.0, 8.0]),
)
def test_the_budget_is_kept_and_spent(rng, frames, bits, share, least_stages, expected, framing):
    bits = [expected * stage for stage in bits]
    powers = 10 ** rng.uniform(-8.9, -1, (1, frames))
    budget = bits[0] + share * (sum(bits) - bits[0])
    depths = allocate(powers, bits, budget, least_stages, SLOPE, framing)

    def cost(tried):
        return cost_bits(tried, bits) + framing * (5 + tried.max())

    least = least_depths(-(-frames // GROUP_FRAMES), least_stages).repeat(GROUP_FRAMES)[
        None, :frames
    ]
    assert depths.shape == powers.shape
    assert (depths >= least).all()
    assert depths.max() <= len(bits)
    if (depths > least).any() and (depths < len(bits)).any():
        assert cost(depths) <= budget * frames + 1e-9
    levels = levels_of(powers)
    free = depths[0] > least[0]  # of those above their least, a louder frame has no fewer stages
    assert (np.diff(depths[0][free][np.argsort(levels[0][free])]) >= 0).all()
    if depths.min() < len(bits):  # another one for the group whose turn it is would be too many
        due = np.where(depths < len(bits), depths - SLOPE * levels, np.inf)
        one_more = depths + (due <= due.min() + 1e-9)
        assert (one_more == len(bits)).all() or cost(one_more) > budget * frames - 1e-9


def test_every_fourth_group_of_a_pause_has_a_stage():
    powers = np.full((1, 60), 1e-8)
    powers[:, 30:45] = 0.01
    depths = allocate(powers, [10] * 8, 15.0, 0, SLOPE)
    groups = depths[0, ::GROUP_FRAMES].tolist()
    assert groups[:10] == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert min(groups[10:15]) >= 4
    assert groups[15:] == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("budget", [15.0, np.inf])
def test_digital_silence_has_no_stage(budget):
    """Nor has what is below -90 dBFS; a frame beside sound is not silent."""
    powers = np.full((2, 60), 0.01)
    powers[0, 11:40] = 0
    powers[1] = 0.9e-9
    depths = allocate(powers, [10] * 8, budget, 0, SLOPE)
    silent = np.flatnonzero(depths[0] == 0)
    assert silent.tolist() == list(range(12, 39))
    assert not depths[1].any()
    if budget == np.inf:
        assert (depths[0][depths[0] > 0] == 8).all()


def test_a_model_without_such_frames_keeps_a_stage_in_silence():
    assert (allocate(np.zeros((1, 60)), [10] * 8, np.inf, 1, SLOPE) == 8).all()
    assert (allocate(np.zeros((1, 60)), [10] * 8, 12.0, 1, SLOPE) >= 1).all()


def test_channels_do_not_share():
    rng = np.random.default_rng(1)
    powers = 10 ** rng.uniform(-8, -1, (2, 60))
    both = allocate(powers, [10] * 8, 35.0, 0, SLOPE)
    for channel in range(2):
        np.testing.assert_array_equal(
            both[channel], allocate(powers[channel : channel + 1], [10] * 8, 35.0, 0, SLOPE)[0]
        )


@pytest.mark.parametrize("budget", [20.0, 27.0, 45.0, 75.0])
def test_a_steady_tone_spends_its_budget_too(budget):
    """Groups of equal level take turns, the earlier ones first."""
    depths = allocate(np.full((1, 60), 0.01), [10] * 8, budget, 1, SLOPE)
    assert np.ptp(depths) <= 1
    assert (np.diff(depths) <= 0).all()
    assert budget * 60 - 10 * GROUP_FRAMES - 2 <= cost_bits(depths, [10] * 8) <= budget * 60


def test_three_stages_for_twenty_decibels_at_50_frames_a_second():
    powers = np.full((1, 60), 0.01)
    powers[:, 30:] *= 100
    stepped = allocate(powers, [10] * 8, 45.5, 1, SLOPE)
    assert set(stepped[0, 30:] - stepped[0, 0]) <= {2, 3}
    assert set(stepped[0, 30:] - stepped[0, 29]) <= {3, 4}


def stereo_header(stages):
    return StreamHeader(
        fingerprint=bytes(6),
        model_rate_hz=1000,
        original_rate_hz=1000,
        hop=20,
        channels=2,
        packet_frames=20,
        stages=stages,
    )


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_an_allocator_takes_pieces_of_any_size(piece):
    rng = np.random.default_rng(2)
    header = stereo_header((StageLayout(5),) * 6)
    wave = (rng.standard_normal((2, 20 * 47)) * 10 ** rng.uniform(-4, 0, (2, 1))).astype(np.float32)
    codes = rng.integers(0, 32, (2, 6, 47)).astype(np.int32)
    allocator = RateAllocator(header, 12.0, 1)  # .6 kbps
    blocks = [wave[:, start : start + 5 * piece] for start in range(0, wave.shape[1], 5 * piece)]
    for given_block, passed in zip(blocks, allocator.observe(iter(blocks)), strict=True):
        np.testing.assert_array_equal(passed, given_block)
    made = list(
        allocator.truncate(codes[..., start : start + piece] for start in range(0, 47, piece))
    )
    assert [packet.shape[2] for packet in made] == [20, 20, 7]
    powers = frame_powers(wave, 20)
    for number, packet in enumerate(made):
        span = slice(20 * number, 20 * number + packet.shape[2])
        depths = allocate(powers[:, span], [5] * 6, 12.0, 1, SLOPE)
        np.testing.assert_array_equal(np.count_nonzero(packet != NONE, axis=1), depths)
        there = packet != NONE
        np.testing.assert_array_equal(packet[there], codes[..., span][there])


def test_expected_bits_and_framing_count_where_they_are_known():
    """Twice as many stages of half the bits; what a packet's framing takes, channels share."""
    stages = (StageLayout(6, 1), *(StageLayout(6),) * 7)
    header = stereo_header(stages)
    wave = np.random.default_rng(4).standard_normal((2, 400)).astype(np.float32)
    allocator = RateAllocator(header, 14.5, 1, [2.5, *[3.0] * 20])
    (codes,) = allocator.truncate([observed_codes(allocator, wave, len(stages))])
    depths = np.count_nonzero(codes != NONE, axis=1)
    powers, bits = frame_powers(wave, 20), [3.5] + [3.0] * 7
    np.testing.assert_array_equal(depths, allocate(powers, bits, 14.5, 1, SLOPE, 4.0))
    assert depths.mean() > 3.5
    plain = RateAllocator(header, 14.5, 1)
    (codes,) = plain.truncate([observed_codes(plain, wave, len(stages))])
    assert np.count_nonzero(codes != NONE, axis=1).mean() < 2.3


def observed_codes(allocator, wave, stages):
    """Codes of a wave that the allocator has observed."""
    assert len(list(allocator.observe([wave]))) == 1
    return np.zeros((len(wave), stages, wave.shape[1] // 20), np.int32)


@pytest.mark.parametrize("frames", [1, 3, 20, 64])
def test_training_goes_by_the_same_levels(frames):
    wave = np.random.default_rng(3).standard_normal((4, frames * 32)).astype(np.float32)
    wave[0] = 0
    expected = levels_of(frame_powers(wave, 32))
    found = group_levels_of_tensors(torch.from_numpy(wave)[:, None], 32)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4)


def test_a_long_pause_takes_next_to_nothing_and_tells_how_loud_it_is():
    """Only where frames may have no stage; and speech that comes back has all that it had."""
    pause = np.full(1500, 1e-6)  # 30 s, 40 dB below speech
    powers = np.concatenate([np.full(300, 1e-2), pause, np.full(300, 1e-2)])
    given = {}
    for least in (0, 1):
        allocation = LiveAllocation([10] * 8, frame_rate_hz=50, bitrate_kbps=2.0, least_depth=least)
        given[least] = np.concatenate([allocation.depths(part) for part in np.split(powers, 700)])
    assert given[0][300:1800].mean() == pytest.approx(0.25, abs=0.01)
    assert given[0][300:1800].max() == 1
    assert np.diff(np.flatnonzero(given[0][300:1800])).max() <= 4 * GROUP_FRAMES
    assert given[1][900:1800].mean() > 3
    assert given[0][1950:].mean() == pytest.approx(given[0][150:300].mean(), abs=0.3)
