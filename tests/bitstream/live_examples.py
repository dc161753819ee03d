"""Live packets to test with."""

from __future__ import annotations

import numpy as np

from codec.bitstream import NONE, LiveFormat, LivePacket

from .examples import likely_codes, random_codes


def live_format(stages, *, channels=1, tables=None, fingerprint=b"finger"):
    return LiveFormat(fingerprint=fingerprint, stages=stages, channels=channels, tables=tables)


def live_codes(rng, live, frames, *, deepest=None):
    """Codes of random depths, groups of three frames alike."""
    stages = len(live.stages)
    if live.tables is None:
        codes = random_codes(rng, live.stages, live.channels, frames)
    else:
        codes = likely_codes(rng, live.stages, live.channels, frames, live.tables)
    deepest = stages if deepest is None else deepest
    depths = rng.integers(0, deepest + 1, (live.channels, -(-frames // 3))).repeat(3, axis=1)[
        :, :frames
    ]
    return np.where(np.arange(stages)[:, None] < depths[:, None], codes, NONE).astype(np.int32)


def live_packet(rng, live, *, most_copies=3):
    """A packet with anything in it."""
    copies = [
        live_codes(rng, live, int(rng.integers(1, 4)), deepest=2) if rng.random() < 0.7 else None
        for _ in range(rng.integers(0, most_copies + 1))
    ]
    while copies and copies[-1] is None:
        copies.pop()
    return LivePacket(
        sequence=int(rng.integers(128)),
        codes=live_codes(rng, live, int(rng.integers(1, 17))),
        copies=tuple(copies),
    )


def assert_equal_packets(one, other):
    assert one.sequence == other.sequence
    np.testing.assert_array_equal(one.codes, other.codes)
    assert [copy is None for copy in one.copies] == [copy is None for copy in other.copies]
    for a, b in zip(one.copies, other.copies, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)
