"""Makes the golden streams of format version 1.0: `python tests/golden/make_v1.py --regenerate`.

They are what released versions wrote. A change of the format gets a new version and a new folder;
these files stay, and stay readable. So regenerate only before the version's first release.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from codec.bitstream import (
    NONE,
    EntropyTables,
    NetworkLayer,
    StageLayout,
    StageNetwork,
    StageTable,
    StreamHeader,
    StreamWriter,
)

FOLDER = Path(__file__).parent / "v1"

PLAIN = (StageLayout(10),) * 3
SPACE_FILLING = (StageLayout(6, 2),) * 2 + (StageLayout(7),)


def stage_tables() -> tuple[StageTable, StageTable, StageTable]:
    """One stage of each context source, for 6, 6 and 7 bits."""
    rng = np.random.default_rng(11)

    def counts(rows: int, codewords: int) -> np.ndarray:
        return 1 + (60_000 * rng.random((rows, codewords)) ** 12).astype(np.int64)

    return (
        StageTable("previous_frame", 3, counts(9, 64)),
        StageTable("none", 0, counts(1, 64)),
        StageTable("previous_stage", 2, counts(4, 128)),
    )


def tables() -> EntropyTables:
    """The tables of the golden streams without networks."""
    return EntropyTables(stage_tables())


def networks() -> EntropyTables:
    """Two networks that see frames before and after, and a table behind them."""
    rng = np.random.default_rng(17)

    def network(codewords: int, sees: list[tuple[int, int]], *sizes: int) -> StageNetwork:
        layers = [
            NetworkLayer(
                rng.integers(-128, 128, (first, second)),
                rng.integers(-9000, 9000, second),
                shift=7,
            )
            for first, second in itertools.pairwise([3 * len(sees), *sizes, codewords])
        ]
        points = rng.integers(-128, 128, (codewords, 3))
        return StageNetwork(points, np.array(sees), tuple(layers), expected_bits=5.0)

    of_own = network(64, [(-1, 0), (-2, 0)], 8, 4)
    of_others = network(128, [(-1, 0), (0, 0), (2, 0), (-1, 1)], 6)
    return EntropyTables(
        (of_own, of_others, StageTable("previous_stage", 1, stage_tables()[2].counts[:2, :64]))
    )


def drawn_codes(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Codes (1, 3, frames) of one packet as `networks` expects them."""
    drawn: list[np.ndarray] = []
    made = networks()
    for table in made.stages:
        words = np.full((1, frames), NONE)
        drawn.append(words)
        for frame in range(frames):
            if isinstance(table, StageNetwork):
                sums = table.sums(drawn, made.points)[0, frame]
                shares = np.diff(table.shares(sums[None])[0], prepend=np.uint64(0))
            else:
                shares = table.counts[drawn[1][0, frame] >> 6]
            words[0, frame] = rng.choice(len(shares), p=shares / shares.sum())
    return np.stack(drawn, axis=1)


def likely_codes(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Codes (1, 3, frames) as `tables` expects them, with the last codeword among them."""
    codes = np.zeros((1, 3, frames), np.int32)
    words = np.zeros(3, int)
    for frame in range(frames):
        for stage, table in enumerate(stage_tables()):
            rows = {
                "none": 0,
                "previous_frame": words[0] >> 3 if frame else 8,
                "previous_stage": words[1] >> 4,
            }
            row = table.counts[rows[table.source]]
            words[stage] = rng.choice(len(row), p=row / row.sum()) if frame % 9 else len(row) - 1
            layout = SPACE_FILLING[stage]
            positions = 1 << layout.position_bits if words[stage] < layout.codewords - 1 else 1
            codes[0, stage, frame] = words[stage] << layout.position_bits | rng.integers(
                0, positions
            )
    return codes


def header(
    stages: tuple[StageLayout, ...],
    *,
    original: int = 16_000,
    channels: int = 1,
    frames: int = 20,
) -> StreamHeader:
    """A header of the golden streams; `frames` are those of a packet."""
    return StreamHeader(
        fingerprint=b"golden",
        model_rate_hz=16_000,
        original_rate_hz=original,
        hop=320,
        channels=channels,
        packet_frames=frames,
        stages=stages,
    )


def with_depths(codes: np.ndarray, *packets: list[list[int]], packet_frames: int) -> np.ndarray:
    """The codes with NONE where `packets` say so: for each, its channels' depths by groups of three
    frames.

    Depths are repeated up to the end of the packet.
    """
    codes = codes.astype(np.int32)
    stages = np.arange(codes.shape[1])[:, None]
    for number, packet in enumerate(packets):
        for channel, depths in zip(codes, packet, strict=True):
            part = channel[:, number * packet_frames : (number + 1) * packet_frames]
            part[stages >= np.resize(np.repeat(depths, 3), part.shape[1])] = NONE
    return codes


Stream = tuple[StreamHeader, np.ndarray, int, EntropyTables | None]
"""Header, codes, samples, tables."""


def streams() -> dict[str, Stream]:
    """The streams by name."""
    return plain_streams() | streams_of_depths()


def plain_streams() -> dict[str, Stream]:
    """All frames have all stages."""
    rng = np.random.default_rng(7)
    stereo = header(PLAIN, original=44_100, channels=2)
    ranged = header(SPACE_FILLING, original=37_800, frames=100)
    return {
        "fixed": (header(PLAIN), rng.integers(0, 1024, (1, 3, 47)), 47 * 320 - 1, None),
        "two_channels": (stereo, rng.integers(0, 1024, (2, 3, 40)), 35_000, None),
        "positions": (
            header(SPACE_FILLING, original=48_000),
            likely_codes(rng, 31),
            31 * 960,
            None,
        ),
        "range": (ranged, likely_codes(rng, 130), 98_000, tables()),
        "networks": (
            header((StageLayout(6), StageLayout(7), StageLayout(6)), frames=40),
            np.concatenate([drawn_codes(rng, frames) for frames in (40, 40, 11)], axis=2),
            91 * 320 - 200,
            networks(),
        ),
        "empty": (header(PLAIN), np.zeros((1, 3, 0), np.int32), 0, None),
    }


def streams_of_depths() -> dict[str, Stream]:
    """Frames have fewer stages than the stream, or none."""
    rng = np.random.default_rng(13)
    # Up to all stages, up to two of three, and a short packet whose last group is one frame.
    fixed = [[1, 3, 0, 2]], [[2, 0, 1]], [[3, 3, 1]]
    # A full packet, a packet of which one channel is full, and a short one of which one channel has
    # nothing.
    stereo = [[3], [3]], [[3], [2, 3, 1, 1, 0, 2, 2]], [[0], [1, 0]]
    # Frames that come back after they were gone, with a context of the frame before; then two
    # stages of three.
    ranged = [[3, 3, 1, 2, 0, 3, 2]], [[2, 1, 0, 2]]
    # Silence, the floor of quiet speech, and a short packet of silence.
    silence = [[0]], [[1, 0, 0, 0]], [[0]]
    two_channels = header(PLAIN, original=44_100, channels=2)
    long_packets = header(SPACE_FILLING, original=37_800, frames=100)

    def random_codes(channels: int, frames: int) -> np.ndarray:
        return rng.integers(0, 1024, (channels, 3, frames))

    return {
        "depths_fixed": (
            header(PLAIN),
            with_depths(random_codes(1, 47), *fixed, packet_frames=20),
            47 * 320 - 1,
            None,
        ),
        "depths_two_channels": (
            two_channels,
            with_depths(random_codes(2, 45), *stereo, packet_frames=20),
            39_000,
            None,
        ),
        "depths_range": (
            long_packets,
            with_depths(likely_codes(rng, 130), *ranged, packet_frames=100),
            98_000,
            tables(),
        ),
        "silence": (
            header(PLAIN),
            with_depths(random_codes(1, 50), *silence, packet_frames=20),
            50 * 320,
            None,
        ),
    }


def regenerate(folder: Path, made: dict[str, Stream], description: str | None) -> None:
    """Write the streams and their codes, if the command line asks for it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--regenerate", action="store_true", required=True, help="overwrite the golden files"
    )
    parser.parse_args()
    folder.mkdir(exist_ok=True)
    for name, (head, codes, samples, stream_tables) in made.items():
        with (folder / f"{name}.dvq").open("wb") as file:
            writer = StreamWriter(file, head, stream_tables)
            writer.write(codes)
            writer.close(samples=samples)
        np.save(folder / f"{name}.npy", codes.astype(np.int32))


def main() -> None:
    regenerate(FOLDER, streams(), __doc__)
    np.savez(FOLDER / "tables.npz", **tables().to_arrays())
    np.savez(FOLDER / "networks.npz", **networks().to_arrays())


if __name__ == "__main__":
    main()
