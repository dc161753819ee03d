"""Checking payloads at fixed width side by side finds what unpacking them finds."""

from __future__ import annotations

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from codec.bitstream.layout import StageLayout
from codec.bitstream.packing import FixedFields, fixed_size, pack_fixed, unpack_fixed
from codec.bitstream.stage_counts import NONE
from codec.errors import BitstreamError

from .examples import layouts, random_codes, seeds


def faults(payloads, stages, depths):
    """What `FixedFields` finds in payloads side by side, whose frames have these depths."""
    sizes = [len(payload) for payload in payloads]
    stops = 3 + np.cumsum(sizes)
    data = np.frombuffer(b"abc" + b"".join(payloads), np.uint8)
    counts = np.array([np.bincount(one.ravel(), minlength=len(stages) + 1) for one in depths])
    return FixedFields(stages).find_faults(data, stops - sizes, stops, counts)


def fault_in_unpacked(payload, stages, depths):
    try:
        unpack_fixed(payload, stages, depths)
    except BitstreamError as error:
        return "fill" if "fill up" in str(error) else "beyond"
    return None


@settings(max_examples=200, deadline=None)
@given(rng=seeds, stages=layouts(), channels=st.integers(1, 3), frames=st.integers(1, 8))
def test_checked_as_unpacked(rng, stages, channels, frames):
    """Codes, those of which a bit is flipped, and random bytes: positions behind the last codeword,
    and bits that fill up.
    """
    payloads, of_payloads = [], []
    for number in range(6):
        depths = rng.integers(0, len(stages) + 1, (channels, frames))
        codes = random_codes(rng, stages, channels, frames)
        codes[np.arange(len(stages))[:, None] >= depths[:, None]] = NONE
        payload = bytearray(pack_fixed(codes, stages))
        assert len(payload) == fixed_size(stages, depths)
        if not payload:
            continue
        if number % 3 == 1:
            payload[rng.integers(len(payload))] ^= 1 << rng.integers(8)
        payloads.append(rng.bytes(len(payload)) if number % 3 == 2 else bytes(payload))
        of_payloads.append(depths)
    if not payloads:
        return
    found = faults(payloads, stages, of_payloads)
    for number, (payload, depths) in enumerate(zip(payloads, of_payloads, strict=True)):
        expected = fault_in_unpacked(payload, stages, depths)
        event(f"found: {expected}")
        assert {"fill": "fill up", "beyond": "beyond the last", None: ""}[expected] in found.get(
            number, ""
        )
        assert (number in found) == (expected is not None)


def test_one_index_too_large_among_many():
    stages = (StageLayout(4, 2), StageLayout(3, 7), StageLayout(5))
    depths = np.full((1, 50), 3)
    codes = np.tile(np.array([stage.max_index for stage in stages])[:, None], 50)[None]
    sound = int.from_bytes(pack_fixed(codes, stages), "big")
    size = fixed_size(stages, depths)
    behind = 8 * size - 50 * (6 + 10)  # bits after the second stage
    wrong = [(sound | 1 << behind + 10 * place).to_bytes(size, "big") for place in range(50)]
    found = faults([sound.to_bytes(size, "big"), *wrong], stages, [depths] * 51)
    assert list(found) == list(range(1, 51))
    assert set(found.values()) == {"an index points beyond the last codeword of its stage"}
