"""Entropy tables: their checks, their storage, and that fitting finds the context that is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from codec.bitstream import EntropyTables, StageLayout, StageTable, fit_tables
from codec.errors import BitstreamError

from .examples import (
    header,
    layouts,
    random_tables,
    read_codes,
    seeds,
    skewed_codes,
    skewed_tables,
    write,
)

ONES = np.ones((1, 16), np.int32)


@settings(max_examples=30, deadline=None)
@given(rng=seeds, stages=layouts(max_codebook_bits=8))
def test_arrays_round_trip(rng, stages):
    tables = random_tables(rng, stages, largest=rng.choice([100, 40_000, 2**23]))
    arrays = tables.to_arrays()
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    again = EntropyTables.from_arrays(
        {name: array.astype(np.int64) for name, array in arrays.items()}
    )
    assert [type(table) for table in again.stages] == [type(table) for table in tables.stages]
    stored = again.to_arrays()
    assert sorted(stored) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(stored[name], array)


@pytest.mark.parametrize(
    ("source", "bits", "counts", "message"),
    [
        ("next_frame", 1, ONES, "a context source is one of"),
        ("none", 1, ONES, "'none' has 0 to 0 context bits"),
        ("previous_frame", 0, ONES, "1 to 16 context bits"),
        ("previous_frame", 1, ONES, "1 rows; the context needs 3"),
        ("previous_stage", 1, ONES, "1 rows; the context needs 2"),
        ("none", 0, ONES[:, :15], "15 codewords"),
        ("none", 0, ONES[:, :1], "1 codewords"),
        ("none", 0, ONES.astype(float), "table of integers"),
        ("none", 0, ONES[0], "table of integers"),
        ("none", 0, ONES - 1, "at least 1"),
        ("none", 0, -ONES, "at least 1"),
        ("none", 0, ONES * 2**28, "less than 2\\^32"),
        ("none", 0, ONES.astype(np.uint64) << np.uint64(60), "less than 2\\^32"),
    ],
)
def test_bad_tables(source, bits, counts, message):
    with pytest.raises(ValueError, match=message):
        StageTable(source, bits, counts)


def test_tables_are_not_changed_from_outside():
    counts = np.ones((1, 4), np.int64)
    table = StageTable("none", 0, counts)
    counts[:] = 0
    assert table.counts.min() == 1
    with pytest.raises(ValueError, match="read-only"):
        table.counts[0, 0] = 2


def test_contexts_need_a_source():
    two_bits = np.ones((4, 4), np.int64)
    with pytest.raises(ValueError, match="the first stage has no previous stage"):
        EntropyTables((StageTable("previous_stage", 2, two_bits),))
    one_bit_codewords = StageTable("none", 0, np.ones((1, 2), np.int64))
    with pytest.raises(ValueError, match="stage 1 has more context bits, 2, than its source has"):
        EntropyTables((one_bit_codewords, StageTable("previous_stage", 2, two_bits)))
    with pytest.raises(ValueError, match="1 to 127 stages"):
        EntropyTables(())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("stage_1.counts"), "incomplete"),
        (lambda a: a.update(other=np.ones(2, int)), "incomplete"),
        (lambda a: a.clear(), "incomplete"),
        (
            lambda a: a.update({"stage_1.context": np.array([4, 1])}),
            "stage 1 is damaged: its context",
        ),
        (
            lambda a: a.update({"stage_1.context": np.array([-1, 1])}),
            "stage 1 is damaged: its context",
        ),
        (
            lambda a: a.update({"stage_1.context": np.array([0.0, 0.0])}),
            "stage 1 is damaged: its context",
        ),
        (
            lambda a: a.update({"stage_0.context": np.array([1, 2])}),
            "stage 0 is damaged: counts have 1 rows",
        ),
        (lambda a: a["stage_0.counts"].fill(0), "stage 0 is damaged: counts are at least 1"),
    ],
)
def test_damaged_arrays(change, message):
    arrays = skewed_tables([StageLayout(3)] * 2).to_arrays()
    change(arrays)
    with pytest.raises(BitstreamError, match=message):
        EntropyTables.from_arrays(arrays)


def test_tables_of_more_stages_and_other_positions_serve():
    """One table for all numbers of stages, and whatever positions a space-filling stage is coded
    with.
    """
    tables = random_tables(np.random.default_rng(0), [StageLayout(5)] * 4)
    stages = (StageLayout(5, 3), StageLayout(5))
    codes = skewed_codes(np.random.default_rng(1), stages, 1, 30)
    np.testing.assert_array_equal(read_codes(write(codes, header(stages), tables), tables), codes)


@pytest.mark.parametrize("bits", [[5, 6], [5], [5, 5, 5, 5, 5]])
def test_tables_of_another_layout_are_refused(bits):
    stages = (StageLayout(5),) * 3
    tables = skewed_tables([StageLayout(b) for b in bits])
    codes = np.zeros((1, 3, 5), np.int32)
    data = write(codes, header(stages))
    if len(bits) >= 3:
        np.testing.assert_array_equal(read_codes(data, tables), codes)
        return
    with pytest.raises(BitstreamError, match="wrong model"):
        write(codes, header(stages), tables)
    with pytest.raises(BitstreamError, match="wrong model"):
        read_codes(data, tables)


LAYOUT = (StageLayout(6), StageLayout(6, 1), StageLayout(6), StageLayout(6))


def walks(clips, frames=400):
    """Codes of which stage 0 is independent, 1 follows its past, 2 the stage before, 3 is uneven
    only.
    """
    rng = np.random.default_rng(7)
    for _ in range(clips):
        codes = np.zeros((4, frames), np.int64)
        codes[0] = rng.integers(0, 64, frames)
        steps = rng.integers(-3, 4, frames)
        word = rng.integers(0, 64)
        for frame in range(frames):
            word = min(max(word + steps[frame], 0), 63)
            codes[1, frame] = min(2 * word + rng.integers(0, 2), 126)
        codes[2] = ((codes[1] >> 1) * 37 + rng.integers(0, 4, frames)) % 64
        codes[3] = rng.integers(0, 8, frames) ** 2
        yield codes


def stage_tables(tables):
    """The tables of all stages, none of which has a network."""
    return [table for table in tables.stages if isinstance(table, StageTable)]


def test_fit_finds_the_context():
    tables = fit_tables(walks(60), LAYOUT)
    assert [table.source for table in stage_tables(tables)] == [
        "none",
        "previous_frame",
        "previous_stage",
        "none",
    ]
    assert stage_tables(tables)[1].context_bits >= 4
    assert stage_tables(tables)[2].context_bits >= 4
    fresh = list(walks(64))[60:]
    bits = sum(tables.code_length_bits(clip, LAYOUT) for clip in fresh) / (4 * 400)
    assert bits[0] == pytest.approx(6, abs=0.05)
    assert bits[1] == pytest.approx(np.log2(7) + 1, abs=0.4)
    assert bits[2] == pytest.approx(2, abs=0.6)
    assert bits[3] == pytest.approx(3, abs=0.05)
    assert stage_tables(fit_tables(walks(60), LAYOUT, max_context_bits=0))[1].source == "none"


def test_fit_is_deterministic():
    first, second = (fit_tables(walks(20), LAYOUT).to_arrays() for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize("frames", [1, 2, 3, 9])
def test_fit_makes_do_with_very_little(frames):
    clips = [codes[:, :frames] for codes in walks(3)]
    tables = fit_tables([clips[0], clips[1][:, :0]], LAYOUT)
    data = write(clips[2][None], header(LAYOUT), tables)
    np.testing.assert_array_equal(read_codes(data, tables), clips[2][None])


def test_fit_does_not_look_across_clips():
    """Two equal frames a clip: the second is certain, and what the clip before ended with tells
    nothing.
    """
    words = np.random.default_rng(0).integers(0, 16, 4000)
    tables = fit_tables([np.array([[word, word]]) for word in words], (StageLayout(4),))
    assert stage_tables(tables)[0].source == "previous_frame"
    assert tables.code_length_bits(np.array([[7, 7]]), (StageLayout(4),))[0] < 4.3


def test_versions_of_a_clip_are_held_out_together():
    """Of noise nothing is to be learnt, and yet a copy of a clip tells all about it."""
    clips = [np.random.default_rng(seed).integers(0, 64, (1, 200)) for seed in range(41)]
    versions = [np.stack([clip, clip]) for clip in clips]
    assert stage_tables(fit_tables(versions, (StageLayout(6),)))[0].source == "none"
    apart = [
        version for copy in zip(*versions, strict=True) for version in copy
    ]  # 41 later: copies judge others
    assert stage_tables(fit_tables(apart, (StageLayout(6),)))[0].source == "previous_frame"


def test_versions_count_as_clips_do():
    clips = list(walks(8))
    stacked = fit_tables([np.stack(clips[index::4]) for index in range(4)], LAYOUT)
    alone = fit_tables(clips, LAYOUT)
    for ours, theirs in zip(stage_tables(stacked), stage_tables(alone), strict=True):
        np.testing.assert_array_equal(ours.counts, theirs.counts)


def test_fit_refuses_wrong_arguments():
    codes = np.zeros((4, 9), np.int64)
    for clips, message in (
        ([], "at least one frame"),
        ([codes[:, :0]], "at least one frame"),
        ([codes[:3]], "stages = 4"),
        ([codes[None, None]], "stages = 4"),
        ([codes[:, None]], "stages = 4"),
        ([codes + 0.5], "integers"),
        ([codes + 64], "index 64 .* is outside 0 to 63"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_tables(clips, LAYOUT)
    with pytest.raises(ValueError, match="max_context_bits"):
        fit_tables([codes], LAYOUT, max_context_bits=-1)
