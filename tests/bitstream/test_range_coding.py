"""The range coder against its twin in plain integers, and against the entropy of its tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import EntropyTables, StageLayout, StageTable
from codec.bitstream.entropy import cumulative_frequencies
from codec.bitstream.range_coding import (
    _shortest,
    cut_range,
    decode_range,
    encode_range,
    range_size_limit,
    split_ends,
)
from codec.bitstream.stage_counts import depths_of, equal_depths
from codec.errors import BitstreamError

from . import range_twin
from .examples import (
    layouts,
    random_codes,
    random_tables,
    seeds,
    skewed_codes,
    skewed_tables,
    twin_tables,
    varied,
)


@settings(max_examples=400, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_stages=4, max_codebook_bits=6),
    channels=st.integers(1, 2),
    frames=st.integers(1, 25),
    largest=st.sampled_from([1, 40_000, 2**25]),
    with_missing=st.booleans(),
)
def test_same_bytes_as_the_integer_twin(rng, stages, channels, frames, largest, with_missing):
    tables = random_tables(rng, stages, largest)
    make_codes = skewed_codes if rng.random() < 0.5 else random_codes
    codes = make_codes(rng, stages, channels, frames)
    if with_missing:
        codes = varied(rng, codes, frames)
        codes[:, :1] = np.maximum(codes[:, :1], 0)  # a packet without any stage has no payload
    position_bits = [stage.position_bits for stage in stages]
    payload = encode_range(codes, stages, tables)
    twin = twin_tables(tables, stages)
    depths = depths_of(codes)
    assert payload == range_twin.encode(codes.tolist(), position_bits, twin)
    _, stream = split_ends(payload, depths.max())
    assert (
        range_twin.decode_stream(stream, depths.tolist(), position_bits, twin)[0] == codes.tolist()
    )
    np.testing.assert_array_equal(decode_range(payload, stages, tables, depths), codes)


@settings(max_examples=200, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_codebook_bits=8),
    channels=st.integers(1, 3),
    frames=st.integers(1, 60),
)
def test_every_cut_decodes_the_first_stages(rng, stages, channels, frames):
    tables = random_tables(rng, stages)
    codes = random_codes(rng, stages, channels, frames)
    payload = encode_range(codes, stages, tables)
    ends, stream = split_ends(payload, len(stages))
    assert ends == sorted(ends)
    for keep in range(1, len(stages) + 1):
        cut = cut_range(payload, len(stages), keep)
        assert len(cut) <= range_size_limit(keep, channels, frames)
        decoded = decode_range(cut, stages[:keep], tables, equal_depths(keep, channels, frames))
        np.testing.assert_array_equal(decoded, codes[:, :keep])
        for fewer in range(1, keep):
            assert cut_range(cut, keep, fewer) == cut_range(payload, len(stages), fewer)
    for stage, end in enumerate(ends):
        if end:
            shorter = decode_or_none(
                stream[: end - 1], stages[: stage + 1], tables, channels, frames
            )
            assert shorter is None or not np.array_equal(shorter, codes[:, : stage + 1]), (
                "an end is too late"
            )


def decode_or_none(stream, stages, tables, channels, frames):
    ends = bytes(len(stages) - 1)
    try:
        return decode_range(
            ends + stream, stages, tables, equal_depths(len(stages), channels, frames)
        )
    except BitstreamError:
        return None


@pytest.mark.parametrize(
    "counts",
    [
        [1, 1],
        [1, 2**32 - 2],
        [2**32 - 2, 1],
        [1] * 65_535 + [2**32 - 65_536],
        [65_535] * 65_536,
        [3, 1, 4, 1, 5, 9, 2, 6],
    ],
)
def test_frequencies_are_exact_in_constriction(counts):
    """The model's shares, read back through its coder, are the integers of FORMAT.md."""
    import constriction

    codewords, total = len(counts), sum(counts)
    sums = np.concatenate([[0], np.cumsum(np.array(counts, object))])
    expected = [k + int(sums[k]) * (2**24 - codewords) // total for k in range(codewords + 1)]
    bounds = cumulative_frequencies(np.array(counts))
    assert bounds.tolist() == expected
    assert bounds[-1] == 2**24
    frequencies = np.diff(bounds)
    assert frequencies.min() >= 1
    model = constriction.stream.model.Categorical((frequencies - 1).astype(float), perfect=False)  # pyright: ignore[reportAttributeAccessIssue]
    for word in {0, 1, codewords // 2, codewords - 2, codewords - 1}:
        encoder = constriction.stream.queue.RangeEncoder()  # pyright: ignore[reportAttributeAccessIssue]
        encoder.encode(np.array([word], np.int32), model)
        words_before, (low, interval) = encoder.pos()
        scale = (2**64 - 1) >> 24
        shift = 32 * words_before
        assert interval == scale * int(frequencies[word]) << shift
        assert low == (scale * int(bounds[word]) << shift) % 2**64


def test_carries_run_through_many_bytes():
    """The likeliest last codeword drives the low end to bytes of 255, which a carry turns over."""
    stages = (StageLayout(1),)
    tables = EntropyTables((StageTable("none", 0, np.array([[1, 2**31]])),))
    twin = twin_tables(tables, stages)
    carried = 0
    for length in range(1, 40):
        for last in (0, 1):
            codes = np.array([[[1] * 3 + [0, 1] * length + [last]]], np.int32)
            payload = encode_range(codes, stages, tables)
            carried += b"\xff\xff" in payload
            assert payload == range_twin.encode(codes.tolist(), [0], twin)
            np.testing.assert_array_equal(
                decode_range(payload, stages, tables, equal_depths(len(stages), 1, codes.shape[2])),
                codes,
            )
    assert carried


def test_a_stream_may_be_empty():
    """Codes at the very low end of their intervals need no byte at all."""
    stages = (StageLayout(4, 1), StageLayout(4))
    tables = skewed_tables(stages)
    codes = np.zeros((1, 2, 200), np.int32)
    payload = encode_range(codes, stages, tables)
    assert payload == b"\0"
    np.testing.assert_array_equal(
        decode_range(payload, stages, tables, equal_depths(len(stages), 1, 200)), codes
    )


@pytest.mark.parametrize(
    ("low", "interval", "shortest"),
    [
        (b"\x00\xff", 1, b"\x00\xff"),
        (b"\x00\xff", 2, b"\x01"),
        (b"\x12\x34\x56", 0x2222, b"\x12\x35"),
        (b"\x12\x34\x56", 0x10000, b"\x13"),
        (b"\xff\xff\x00", 256, b"\xff\xff"),
        (b"\x00\x00", 5, b""),
    ],
)
def test_the_interval_excludes_its_upper_end(low, interval, shortest):
    assert _shortest(low, interval) == shortest


@pytest.mark.parametrize("frames", [1, 50, 500])
@pytest.mark.parametrize("source", ["none", "previous_frame", "previous_stage"])
def test_bits_spent_are_the_entropy(source, frames):
    """Codes drawn from the tables themselves cost, stage by stage, what the tables say, and a few
    bytes.
    """
    rng = np.random.default_rng(frames)
    stages = (StageLayout(8), StageLayout(8, 2), StageLayout(8))
    context_bits = 0 if source == "none" else 3
    rows = (1 << context_bits) + (source == "previous_frame")
    counts = (1 + 60_000 * rng.random((rows, 256)) ** 6).astype(np.int64)
    static = StageTable("none", 0, counts[:1])
    stage_tables = (static, StageTable(source, context_bits, counts), static)
    tables = EntropyTables(stage_tables)
    codes = np.zeros((1, 3, frames), np.int32)
    bits = 0.0
    for stage, table in enumerate(stage_tables):
        for frame in range(frames):
            row = 0
            if table.source == "previous_frame":
                row = 8 if frame == 0 else (codes[0, 1, frame - 1] >> 2) >> 5
            elif table.source == "previous_stage":
                row = codes[0, 0, frame] >> 5
            shares = table.counts[row] / table.counts[row].sum()
            word = rng.choice(256, p=shares)
            bits -= np.log2(shares[word])
            codes[0, stage, frame] = word << stages[stage].position_bits
            if stages[stage].position_bits and word < 255:
                codes[0, stage, frame] |= rng.integers(0, 4)
                bits += 2
    payload = encode_range(codes, stages, tables)
    ends = sum(1 + (difference > 127) for difference in np.diff([0, *split_ends(payload, 3)[0]]))
    assert bits / 8 * 0.99 - 1 <= len(payload) - ends <= bits / 8 * 1.01 + 2
    assert tables.code_length_bits(codes[0], stages).sum() == pytest.approx(bits, rel=1e-3, abs=0.1)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "cut off in the ends of the stages"),
        (b"\x80", "cut off in the ends of the stages"),
        (b"\x80\x00abc", "not in its shortest form"),
        (b"\xff\xff\xff\xff\x01abc", "absurd: longer than 4 bytes"),
        (b"\x04abc", "has 3 bytes, but a stage ends at byte 4"),
        (b"\x00\xff\xff\xff\xff\xff\xff\xff\xff", "stage 0 of the range-coded payload is no code"),
    ],
)
def test_bad_payloads(payload, message):
    stages = (StageLayout(4), StageLayout(4))
    with pytest.raises(BitstreamError, match=message):
        decode_range(payload, stages, skewed_tables(stages), equal_depths(len(stages), 1, 5))


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=40), rng=seeds, stages=layouts(max_stages=3, max_codebook_bits=5))
def test_any_bytes_are_codes_in_range_or_an_error(payload, rng, stages):
    tables = random_tables(rng, stages)
    try:
        codes = decode_range(payload, stages, tables, equal_depths(len(stages), 2, 9))
    except BitstreamError:
        return
    limits = np.array([stage.max_index for stage in stages])[:, None]
    assert codes.min() >= 0
    assert (codes <= limits).all()
