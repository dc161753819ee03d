"""The layout of the indices: which values a stage's index takes, and how many bits it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .stage_counts import NONE

MAX_CODEBOOK_BITS = 16
MAX_POSITION_BITS = 7
MAX_INDEX_BITS = 20
MAX_STAGES = 127
MAX_CHANNELS = 255
MAX_PACKET_FRAMES = 65_535
MAX_PACKET_INDICES = 1 << 20

# Head and CRC of a packet are 6 bytes: at most 2 % of a payload of this size.
_LEAST_PAYLOAD_BYTES = 300
_LONGEST_PACKET_SECONDS = 10


@dataclass(frozen=True, slots=True)
class StageLayout:
    """One stage: 2^codebook_bits codewords, each with 2^position_bits positions towards the next
    one.

    An index is `codeword << position_bits | position`. The last codeword has no next one: its
    position is 0.
    """

    codebook_bits: int
    position_bits: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.codebook_bits <= MAX_CODEBOOK_BITS:
            raise ValueError(f"codebook_bits is 1 to {MAX_CODEBOOK_BITS}, not {self.codebook_bits}")
        if not 0 <= self.position_bits <= MAX_POSITION_BITS:
            raise ValueError(f"position_bits is 0 to {MAX_POSITION_BITS}, not {self.position_bits}")
        if self.index_bits > MAX_INDEX_BITS:
            raise ValueError(f"an index has at most {MAX_INDEX_BITS} bits, not {self.index_bits}")

    @property
    def index_bits(self) -> int:
        return self.codebook_bits + self.position_bits

    @property
    def codewords(self) -> int:
        return 1 << self.codebook_bits

    @property
    def max_index(self) -> int:
        """The largest index: the last codeword at position 0."""
        return (self.codewords - 1) << self.position_bits


def find_bad_index(codes: np.ndarray, stages: Sequence[StageLayout]) -> str | None:
    """Return a message about the first index of `codes` (channels, stages, frames) that is out of
    its stage's range or place, or None.
    """
    limits = np.array([stage.max_index for stage in stages])[:, None]
    # NONE stands where a frame has no more stages, and up to the last.
    misplaced = np.zeros(codes.shape, bool)
    misplaced[:, :-1] = (codes[:, :-1] == NONE) & (codes[:, 1:] != NONE)
    bad = (codes < NONE) | (codes > limits) | misplaced
    if not bad.any():
        return None
    channel, stage, frame = np.argwhere(bad)[0]
    if codes[channel, stage, frame] == NONE:
        return (
            f"a stage before another is missing (channel {channel}, stage {stage}, frame {frame})"
        )
    return (
        f"index {codes[channel, stage, frame]} (channel {channel}, stage {stage}, frame {frame})"
        f" is outside 0 to {stages[stage].max_index}"
    )


def default_packet_frames(
    layout: Sequence[StageLayout],
    frame_rate_hz: Fraction | int,
    channels: int = 1,
    *,
    channel_bitrate: Fraction | None = None,
) -> int:
    """Frames in a packet: the fewest whole seconds that keep the framing below 2 % of a fixed-width
    payload.

    At least one second, at most ten, and never more indices than a packet may hold.
    `channel_bitrate` is in bits per second, where that is less than of all stages.

    >>> [default_packet_frames([StageLayout(10)] * stages, 50) for stages in (12, 2)]
    [50, 150]
    """
    indices_per_frame = channels * len(layout)
    bits_of_all = sum(stage.index_bits for stage in layout) * Fraction(frame_rate_hz)
    bits_per_second = channels * (
        bits_of_all if channel_bitrate is None else min(channel_bitrate, bits_of_all)
    )
    seconds = min(max(-(-8 * _LEAST_PAYLOAD_BYTES // bits_per_second), 1), _LONGEST_PACKET_SECONDS)
    most_frames = min(MAX_PACKET_FRAMES, MAX_PACKET_INDICES // indices_per_frame)
    return min(max(round(seconds * Fraction(frame_rate_hz)), 1), most_frames)
