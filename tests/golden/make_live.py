"""Makes the golden live packets: `PYTHONPATH=tests python -m golden.make_live --regenerate`.

Each line of packets.txt is a name and a packet in hexadecimal digits, and codes.npz has the codes
under that name. As
the golden streams: they stay, and are regenerated only before the first release.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from golden.make_v1 import PLAIN, SPACE_FILLING, likely_codes, tables

from codec.bitstream import NONE, LiveFormat, LivePacket

FOLDER = Path(__file__).parent / "live"


def formats() -> dict[str, LiveFormat]:
    """What sender and receiver agree on, by the first word of a packet's name."""
    return {
        "plain": LiveFormat(fingerprint=b"golden", stages=PLAIN),
        "stereo": LiveFormat(fingerprint=b"golden", stages=PLAIN, channels=2),
        "range": LiveFormat(fingerprint=b"golden", stages=SPACE_FILLING, tables=tables()),
    }


def with_depths(codes: np.ndarray, depths: list[list[int]]) -> np.ndarray:
    """The codes with NONE after the stages of each frame, `depths` (channels, groups of three
    frames).
    """
    of_frames = np.repeat(np.array(depths), 3, axis=1)[:, : codes.shape[2]]
    return np.where(np.arange(codes.shape[1])[:, None] < of_frames[:, None], codes, NONE).astype(
        np.int32
    )


def packets() -> dict[str, LivePacket]:
    """The packets by name."""
    rng = np.random.default_rng(17)
    mono, two = rng.integers(0, 1024, (1, 3, 16)), rng.integers(0, 1024, (2, 3, 7))
    ranged = likely_codes(rng, 12)
    copies = (with_depths(mono[..., 3:6], [[2]]), None, with_depths(mono[..., 6:8], [[1]]))
    return {
        "plain": LivePacket(sequence=0, codes=with_depths(mono[..., :3], [[3]])),
        "plain silent": LivePacket(sequence=127, codes=with_depths(mono[..., :3], [[0]])),
        "plain long": LivePacket(sequence=5, codes=with_depths(mono, [[0, 3, 1, 1, 0, 2]])),
        "plain copies": LivePacket(
            sequence=64, codes=with_depths(mono[..., :3], [[3]]), copies=copies
        ),
        "stereo": LivePacket(sequence=9, codes=with_depths(two, [[0, 2, 3], [3, 3, 0]])),
        "range": LivePacket(sequence=33, codes=with_depths(ranged, [[3, 2, 0, 3]])),
        "range copies": LivePacket(
            sequence=34,
            codes=with_depths(ranged[..., 3:6], [[3]]),
            copies=(with_depths(ranged[..., :3], [[2]]),),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--regenerate", action="store_true", required=True, help="overwrite the golden packets"
    )
    parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    by_format = formats()
    lines = [
        f"{name}: {by_format[name.split()[0]].pack(packet).hex()}\n"
        for name, packet in packets().items()
    ]
    (FOLDER / "packets.txt").write_text("".join(lines))
    np.savez(FOLDER / "codes.npz", **{name: packet.codes for name, packet in packets().items()})


if __name__ == "__main__":
    main()
