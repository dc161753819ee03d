"""How many stages each frame of a stream gets: more where speech is loud, fewer in its pauses, so many on average.

A stage takes about as many dB off the error whatever a frame's level, so that errors are heard alike where the number
of stages rises in proportion to the level in dB. How steeply was found on speech (recipes/folder/RUNS.md).

The stages are shared out within each packet, so that every packet keeps to the bitrate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .bitstream import GROUP_FRAMES, NONE, StreamHeader, depth_bits
from .blocks import whole_frames

STAGES_PER_DB = 0.15
SMALLEST_POWER = 1e-10  # of a sample, -100 dBFS: levels end there
_HALVINGS = 30
_ROUNDING = 1e-9


class Spreader:
    """Takes stages off the codes of a stream, as they are made, until the rest keeps to a bitrate.

    It listens to the audio on its way to the model, and is then given the codes. Where a packet cannot keep to it,
    as with less than one stage, frames keep one.
    """

    def __init__(self, header: StreamHeader, bitrate_kbps: float) -> None:
        self._hop, self._packet_frames = header.hop, header.packet_frames
        self._budget_bits = bitrate_kbps * (1 + _ROUNDING) * 1000 / float(header.frame_rate_hz)  # per frame and channel
        self._bits = [stage.index_bits for stage in header.stages]
        self._samples = np.zeros((header.channels, 0), np.float32)  # of a frame that is not complete
        self._powers = np.zeros((header.channels, 0))  # of the frames whose codes have not come

    def listen(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass on blocks (channels, samples) that add up to whole frames."""
        for block in blocks:
            samples = np.concatenate([self._samples, block], axis=1)
            whole = samples.shape[1] - samples.shape[1] % self._hop
            self._powers = np.concatenate([self._powers, frame_powers(samples[:, :whole], self._hop)], axis=1)
            self._samples = samples[:, whole:]
            yield block

    def apply(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Codes (channels, stages, frames) → the same, NONE where stages are taken off; packet by packet."""
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
        depths = spread(self._powers[:, :frames], self._bits, self._budget_bits)
        self._powers = self._powers[:, frames:]
        return np.where(np.arange(codes.shape[1])[:, None] < depths[:, None], codes, NONE)


def spread_clip(codes: np.ndarray, wave: np.ndarray, header: StreamHeader, bitrate_kbps: float) -> np.ndarray:
    """A `Spreader` on all of a clip: codes (channels, stages, frames), wave (channels, samples)."""
    spreader = Spreader(header, bitrate_kbps)
    for _ in spreader.listen(whole_frames([wave], header.hop)):
        pass
    return np.concatenate([codes[..., :0], *spreader.apply([codes])], axis=2)


def frame_powers(wave: np.ndarray, hop: int) -> np.ndarray:
    """Waves (..., frames·hop) → mean power of each frame's samples (..., frames)."""
    frames = wave.reshape(*wave.shape[:-1], -1, hop)
    return np.einsum("...i,...i->...", frames, frames, dtype=np.float64) / hop


def spread(powers: np.ndarray, stage_bits: Sequence[int], budget_bits: float) -> np.ndarray:
    """The stages of each frame of a packet, from the frames' powers; both are (channels, frames).

    A channel's frames take `budget_bits` on average, or as little less as can be, where stages take `stage_bits`, and
    what is stored to tell how many there are is counted too.
    """
    levels = group_levels(powers)
    most = len(stage_bits)
    bits = np.cumsum([0, *stage_bits])
    slope = STAGES_PER_DB * levels
    low = -slope.max(axis=1, keepdims=True)  # offsets at which no frame has more than a stage,
    high = most + 1 - slope.min(axis=1, keepdims=True)  # and at which all have all
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        depths = _stages(slope + middle, most)
        fits = bits[depths].sum(axis=1) + depth_bits(depths, most) <= budget_bits * depths.shape[1]
        low, high = np.where(fits[:, None], middle, low), np.where(fits[:, None], high, middle)
    return _stages(slope + low, most)


def group_levels(powers: np.ndarray) -> np.ndarray:
    """Level in dB of the group that each frame of a packet is in, (channels, frames) both."""
    starts = np.arange(0, powers.shape[1], GROUP_FRAMES)
    sizes = np.diff(starts, append=powers.shape[1])
    means = np.add.reduceat(powers, starts, axis=1) / sizes
    return np.repeat(10 * np.log10(means + SMALLEST_POWER), sizes, axis=1)


def _stages(wished: np.ndarray, most: int) -> np.ndarray:
    return np.clip(np.rint(wished), 1, most).astype(np.int32)
