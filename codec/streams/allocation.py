"""Rate allocation: stages per frame under a bitrate, more where speech is loud and fewer in its
pauses.

Each stage lowers the error by about the same number of dB, in proportion to the frame rate. Giving
a frame stages in proportion to its level therefore makes errors equally audible in loud and soft
frames. The slope was found on speech at 50 frames a second (recipes/runs/folder/RUNS.md).

The stages are shared out within each packet, so that every packet keeps to the bitrate. Without
networks in a model's entropy tables indices count at fixed width, and what tables save makes up for
heads, checksums and ends of stages. With networks, which save more, they count as many bits as they
take on average, and the framing is counted too: so packets keep to the bitrate on average.

A model may let frames have no stage (`ModelConfig.least_stages`). Then quiet groups of frames may
have none, but for every fourth of a packet, from the first on: from it the decoder learns 4 times a
second how loud a pause is. Groups of digital silence have none at all, whatever the bitrate, and a
packet of nothing else has 5 bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..audio.blocks import whole_frames
from ..bitstream import GROUP_FRAMES, NONE, StreamHeader, depth_bits

_STAGES_PER_DB_AND_SECOND = 7.5
SMALLEST_POWER = 1e-10  # of a sample, -100 dBFS: levels end there
ROUNDING = 1e-9  # of bitrates, such as 0.3 kbps in binary
FLOOR_GROUPS = 4  # one group of so many has a stage, where the others may have none
_FRAMING_BYTES = 5  # of a packet: 2 of a head, 4 of a CRC, less one end, that of the last stage
SILENCE_POWER = 1e-9  # of a sample, -90 dBFS: the last bit of 16, and less


def stages_per_db(frame_rate_hz: float) -> float:
    """How many more stages a frame has for each dB that it is louder."""
    return _STAGES_PER_DB_AND_SECOND / frame_rate_hz


class RateAllocator:
    """Truncates the codes of a stream, packet by packet, to the stages that a bitrate allows.

    It observes the audio on its way to the model, then truncates the codes. Without `budget_bits`,
    of a channel's frame on average, it truncates those of digital silence alone.
    """

    def __init__(
        self,
        header: StreamHeader,
        budget_bits: float | None,
        least_stages: int,
        expected_bits: Sequence[float] | None = None,
    ) -> None:
        """`expected_bits` are those of each stage's codewords, on average, in a model whose tables
        have networks.
        """
        self._hop, self._packet_frames = header.hop, header.packet_frames
        self._budget_bits = math.inf if budget_bits is None else budget_bits
        self._bits: list[float] = [stage.index_bits for stage in header.stages]
        self._framing_bits = 0.0
        if expected_bits is not None:
            self._bits = [
                stage.position_bits + bits
                for stage, bits in zip(header.stages, expected_bits, strict=False)
            ]
            self._framing_bits = 8 / header.channels
        self._slope = stages_per_db(float(header.frame_rate_hz))
        self._least_stages = least_stages
        self._samples = np.zeros(
            (header.channels, 0), np.float32
        )  # of a frame that is not complete
        self._powers = np.zeros((header.channels, 0))  # of the frames whose codes have not come

    @property
    def has_work(self) -> bool:
        """Whether any frame may lose a stage."""
        return self._budget_bits < sum(self._bits) or self._least_stages == 0

    def observe(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Record the levels of blocks (channels, samples), which add up to whole frames, and pass
        them on.
        """
        for block in blocks:
            samples = (
                np.concatenate([self._samples, block], axis=1) if self._samples.shape[1] else block
            )
            whole = samples.shape[1] - samples.shape[1] % self._hop
            self._powers = np.concatenate(
                [self._powers, frame_powers(samples[:, :whole], self._hop)], axis=1
            )
            self._samples = samples[:, whole:].copy()  # a view would keep the whole block in memory
            yield block

    def truncate(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Replace codes (channels, stages, frames) above each frame's allocation by NONE, packet by
        packet.
        """
        pending: np.ndarray | None = None
        for piece in pieces:
            pending = piece if pending is None else np.concatenate([pending, piece], axis=2)
            while pending.shape[2] >= self._packet_frames:
                yield self._packet(pending[..., : self._packet_frames])
                pending = pending[..., self._packet_frames :]
        if pending is not None and pending.shape[2]:
            yield self._packet(pending)

    def _packet(self, codes: np.ndarray) -> np.ndarray:
        frames = codes.shape[2]
        powers = self._powers[:, :frames]
        depths = allocate(
            powers,
            self._bits,
            self._budget_bits,
            self._least_stages,
            self._slope,
            self._framing_bits,
        )
        self._powers = self._powers[:, frames:]
        return np.where(np.arange(codes.shape[1])[:, None] < depths[:, None], codes, NONE)


def allocate_clip(
    codes: np.ndarray, wave: np.ndarray, allocator: RateAllocator, hop: int
) -> np.ndarray:
    """A `RateAllocator` on all of a clip: codes (channels, stages, frames), wave (channels,
    samples).
    """
    for _ in allocator.observe(whole_frames([wave], hop)):
        pass
    return np.concatenate([codes[..., :0], *allocator.truncate([codes])], axis=2)


def least_depths(groups: int, least_stages: int) -> np.ndarray:
    """Return the fewest stages of each group of a packet that is not silent."""
    is_floor = np.arange(groups) % FLOOR_GROUPS == 0
    return np.maximum(is_floor, least_stages).astype(np.int64)


def frame_powers(wave: np.ndarray, hop: int) -> np.ndarray:
    """Waves (..., frames·hop) → mean power of each frame's samples (..., frames)."""
    frames = wave.reshape(*wave.shape[:-1], -1, hop)
    return np.einsum("...i,...i->...", frames, frames, dtype=np.float64) / hop


def allocate(
    powers: np.ndarray,
    stage_bits: Sequence[float],
    budget_bits: float,
    least_stages: int,
    slope: float,
    framing_bits: float = 0.0,
) -> np.ndarray:
    """Choose the stages of each frame of a packet from the frames' powers; both are (channels,
    frames).

    A channel's frames take `budget_bits` on average, or as little less as can be, where stages take
    `stage_bits`, and what is stored to tell how many there are is counted too. `slope` is that of
    `stages_per_db`. A byte of the packet's framing counts as `framing_bits`.
    """
    frames = powers.shape[1]
    starts = np.arange(0, frames, GROUP_FRAMES)
    sizes = np.diff(starts, append=frames)
    levels = 10 * np.log10(np.add.reduceat(powers, starts, axis=1) / sizes + SMALLEST_POWER)
    bits = np.cumsum([0, *stage_bits])
    least = np.tile(least_depths(len(starts), least_stages), (len(powers), 1))
    most = np.full_like(least, len(stage_bits))
    if least_stages == 0:
        silent = _silent(powers, starts)
        least[silent] = most[silent] = 0
    if budget_bits < bits[-1]:
        budget = budget_bits * frames - framing_bits * _FRAMING_BYTES
        most = [
            _share_out(slope * channel[0], *channel[1:], sizes, bits, budget, framing_bits)
            for channel in zip(levels, least, most, strict=True)
        ]
    return np.repeat(np.array(most, np.int32), sizes, axis=1)


def _silent(powers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Find groups of digital silence, with a frame on either side: frames of a lapped transform
    reach so far.
    """
    loud = powers >= SILENCE_POWER
    near_loud = loud.copy()
    near_loud[:, 1:] |= loud[:, :-1]
    near_loud[:, :-1] |= loud[:, 1:]
    return ~np.logical_or.reduceat(near_loud, starts, axis=1)


def _share_out(
    wished: np.ndarray,
    least: np.ndarray,
    most: np.ndarray,
    sizes: np.ndarray,
    bits: np.ndarray,
    budget: float,
    end_bits: float,
) -> np.ndarray:
    """Distribute a channel's bits over its groups, of `sizes` frames; d stages of a frame take
    `bits[d]`, and each stage of the packet takes `end_bits` more.

    Groups have `least` to `most` stages. All but the least are given out one at a time: group g is
    due for stage d + 1 at d − `wished[g]`, the lowest first. Of equals the earlier group comes
    first: a steady tone spends all, too.
    """
    stages = len(bits) - 1
    due = np.arange(stages) - wished[:, None]
    order = np.argsort(due, axis=None, kind="stable")
    turn = np.empty(order.size, np.int64)
    turn[order] = np.arange(order.size)
    turn = turn.reshape(due.shape)
    depths, fewest, more = least, 0, order.size + 1
    while more - fewest > 1:
        given = (fewest + more) // 2
        tried = np.clip(np.count_nonzero(turn < given, axis=1), least, most)
        ends = end_bits * int(tried.max(initial=0))
        if float(bits[tried] @ sizes) + depth_bits(tried, stages) + ends <= budget:
            depths, fewest = tried, given
        else:
            more = given
    return depths
