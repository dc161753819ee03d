"""Networks of entropy tables find what tables cannot see, and say so only where it is there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from bitstream.examples import header, read_codes, write

from codec.bitstream import NONE, StageLayout, StageNetwork, fit_tables
from codec.training import entropy_networks
from codec.training.entropy_networks import FEWEST_FRAMES, add_networks

LAYOUT = (StageLayout(4),) * 3
POINTS = [np.stack([np.cos(np.arange(16)), np.sin(np.arange(16)), np.arange(16) / 8], 1)] * 3
CLIPS, FRAMES = 16, FEWEST_FRAMES // 16


def clips(seed=0, count=CLIPS, frames=FRAMES):
    """Codes (1, 3, frames) of which stage 0 follows the two frames before it, stage 1 the frame
    that comes, and stage 2 nothing; the later of three groups have two stages.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        codes = rng.integers(0, 16, (1, 3, frames))
        first = codes[0, 0]
        for frame in range(2, frames):
            first[frame] = (first[frame - 1] + first[frame - 2] + rng.integers(0, 2)) % 16
        codes[0, 1, :-1] = (first[1:] * 5 + rng.integers(0, 2, frames - 1)) % 16
        yield codes


def truncated(codes):
    """The codes, of which a third of the frames have two stages."""
    cut = codes.copy()
    cut[..., 2, np.arange(codes.shape[-1]) // 3 % 3 == 2] = NONE
    return cut


@pytest.fixture(scope="module")
def fitted():
    codes = list(clips())
    tables = fit_tables(codes, LAYOUT)
    said = []
    cut = [truncated(clip) for clip in codes]
    made = add_networks(tables, cut, POINTS, packet_frames=50, report=said.append)
    return tables, made, said


def test_a_network_is_kept_where_it_saves_bits(fitted):
    tables, made, said = fitted
    kinds = [isinstance(stage, StageNetwork) for stage in made.stages]
    assert kinds == [True, True, False]
    assert made.stages[2] is tables.stages[2]
    assert len(said) == 3
    assert said[0].startswith("stage 1: ")


def test_bits_are_those_of_speech_that_was_not_seen(fitted):
    """Two in 16 are possible, but for the frames at the borders of packets."""
    tables, made, _ = fitted
    fresh = [clip[0, :, :50] for clip in clips(seed=9, count=40, frames=50)]
    before, after = (
        sum(some.code_length_bits(clip, LAYOUT) for clip in fresh) / (40 * 50)
        for some in (tables, made)
    )
    assert before[:2] == pytest.approx([4, 4], abs=0.1)
    assert (after[:2] < 2.6).all()
    assert made.expected_bits is not None
    assert made.expected_bits[:2] == pytest.approx(after[:2], abs=1.0)


def test_files_come_back(fitted):
    plain, made, _ = fitted
    codes = truncated(next(clips(seed=5, count=1, frames=321)))
    sizes = []
    for tables in (made, plain):
        data = write(codes, header(LAYOUT, hop=640, packet_frames=48), tables)
        np.testing.assert_array_equal(read_codes(data, tables), codes)
        sizes.append(len(data))
    assert sizes[0] < 0.8 * sizes[1]


def test_few_frames_have_no_network():
    few = list(clips(count=CLIPS, frames=FRAMES - 1))
    tables = fit_tables(few, LAYOUT)
    assert add_networks(tables, few, POINTS, packet_frames=50) is tables


def test_networks_are_trained_less_where_time_is_short(monkeypatch):
    """By a clock that moves on a second each time it is read."""
    monkeypatch.setattr(entropy_networks, "FEWEST_FRAMES", 100)
    monkeypatch.setattr(entropy_networks, "_LEAST_GAIN", -9.0)
    monkeypatch.setattr(entropy_networks, "monotonic", itertools.count(0.0).__next__)
    codes = list(clips(frames=200))
    tables = fit_tables(codes, LAYOUT)
    done = []
    options = {"packet_frames": 50, "report": lambda _: None}
    made = add_networks(
        tables, codes, POINTS, until=100.0, progress=lambda *p: done.append(p), **options
    )
    assert isinstance(made.stages[1], StageNetwork)
    assert done == sorted(done)
    assert done[-1] == (3, 3)
    parts = [part for part, of in done if part < 1]
    assert 20 < len(parts) < 45
    assert parts[-1] > 0.9
    late = add_networks(tables, codes, POINTS, until=0.0, **options)
    assert late.stages == tables.stages


def test_the_same_codes_give_the_same_networks(monkeypatch):
    monkeypatch.setattr(entropy_networks, "FEWEST_FRAMES", 100)
    monkeypatch.setattr(entropy_networks, "_LEAST_GAIN", -9.0)
    codes = list(clips(frames=200))
    tables = fit_tables(codes, LAYOUT)
    first, second = (
        add_networks(tables, codes, POINTS, packet_frames=50, stages=2, report=lambda _: None)
        for _ in range(2)
    )
    arrays, again = first.to_arrays(), second.to_arrays()
    assert isinstance(first.stages[1], StageNetwork)
    assert not isinstance(first.stages[2], StageNetwork)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, again[name])
