"""Makes the golden streams of format version 1.1: `PYTHONPATH=tests python -m golden.make_v1_1 --regenerate`.

Their packets are varied: frames have fewer stages than the stream. `range` is coded with the tables of version 1's
folder. As there: these files stay, and are regenerated only before the version's first release.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from golden.make_v1 import PLAIN, SPACE_FILLING, Stream, header, likely_codes, regenerate, tables

from codec.bitstream import NONE

FOLDER = Path(__file__).parent / "v1_1"


def without_tails(codes: np.ndarray, *packets: list[list[int]], packet_frames: int) -> np.ndarray:
    """The codes with NONE where `packets`, of each its channels' depths by groups of three frames, say so.

    Depths are repeated up to the end of the packet.
    """
    codes = codes.astype(np.int32)
    stages = np.arange(codes.shape[1])[:, None]
    for number, packet in enumerate(packets):
        for channel, depths in zip(codes, packet, strict=True):
            part = channel[:, number * packet_frames : (number + 1) * packet_frames]
            part[stages >= np.resize(np.repeat(depths, 3), part.shape[1])] = NONE
    return codes


def streams() -> dict[str, Stream]:
    """The streams by name."""
    varied = partial(header, minor_version=1)
    rng = np.random.default_rng(13)

    # Up to all stages, up to two of three, and a short packet whose last group is one frame.
    fixed = without_tails(rng.integers(0, 1024, (1, 3, 47)), [[1, 3, 2]], [[2, 1]], [[3, 3, 1]], packet_frames=20)
    # A full packet and a varied one, of which one channel is full.
    stereo = without_tails(
        rng.integers(0, 1024, (2, 3, 40)), [[3], [3]], [[3], [2, 3, 1, 1, 3, 2, 2]], packet_frames=20
    )
    # Frames that come back after they were gone, with a context of the frame before; then two stages of three.
    ranged = without_tails(likely_codes(rng, 130), [[3, 3, 1, 2, 1, 3, 2]], [[2, 1, 2]], packet_frames=100)
    return {
        "fixed": (varied(PLAIN), fixed, 47 * 320 - 1, None),
        "two_channels": (varied(PLAIN, original=44_100, channels=2), stereo, 35_000, None),
        "range": (varied(SPACE_FILLING, original=37_800, frames=100), ranged, 98_000, tables()),
    }


def main() -> None:
    regenerate(FOLDER, streams(), __doc__)


if __name__ == "__main__":
    main()
