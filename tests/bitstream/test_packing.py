"""Checking payloads at fixed width without unpacking them finds what unpacking finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from codec.bitstream.layout import StageLayout
from codec.bitstream.packing import FixedFields, fixed_size, pack_fixed, unpack_fixed
from codec.bitstream.stage_counts import NONE, count_depths
from codec.errors import BitstreamError

from .examples import layouts, random_codes, seeds


def fails(check, *arguments):
    try:
        check(*arguments)
    except BitstreamError:
        return True
    return False


@settings(max_examples=200, deadline=None)
@given(rng=seeds, stages=layouts(), channels=st.integers(1, 3), frames=st.integers(1, 8))
def test_checked_as_unpacked(rng, stages, channels, frames):
    """Random bytes, and codes of which a bit is flipped: positions behind the last codeword, and
    bits that fill up.
    """
    depths = rng.integers(0, len(stages) + 1, (channels, frames))
    size = fixed_size(stages, depths)
    counts = count_depths(depths, len(stages)).tolist()
    fields = FixedFields(stages)
    assert size == -(-fields.bits(counts) // 8)
    codes = random_codes(rng, stages, channels, frames)
    codes[np.arange(len(stages))[:, None] >= depths[:, None]] = NONE
    payload = bytearray(pack_fixed(codes, stages))
    fields.check(bytes(payload), counts)
    if not size:
        return
    payload[rng.integers(size)] ^= 1 << rng.integers(8)
    for data in (bytes(payload), rng.bytes(size)):
        found = fails(fields.check, data, counts)
        assert found == fails(unpack_fixed, data, stages, depths)
        event(f"found: {found}")


def test_one_index_too_large_among_many():
    stages = (StageLayout(4, 2), StageLayout(3, 7), StageLayout(5))
    fields, depths = FixedFields(stages), np.full((1, 50), 3)
    counts = [0, 0, 0, 50]
    codes = np.tile(np.array([stage.max_index for stage in stages])[:, None], 50)[None]
    sound = int.from_bytes(pack_fixed(codes, stages), "big")
    size = fixed_size(stages, depths)
    fields.check(sound.to_bytes(size, "big"), counts)
    behind = 8 * size - fields.bits(counts) + 50 * 5  # bits after the second stage
    for place in range(50):
        wrong = (sound | 1 << behind + 10 * place).to_bytes(size, "big")
        with pytest.raises(BitstreamError, match="beyond the last codeword"):
            fields.check(wrong, counts)
