"""Runs a network on streams of any length, in windows: audio to codes and codes to audio."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..audio.blocks import silence, whole_frames
from ..bitstream import StreamHeader
from ..layouts.config import ModelConfig
from ..layouts.noise import decoder_noise
from ..layouts.receptive_field import Context
from . import batches, windows
from .allocation import RateAllocator, allocate_clip
from .batches import batched
from .headers import StreamPlan
from .windows import windowed

WINDOW_SECONDS = 10.0
"""How much audio, over all channels, is computed at once. Results do not depend on it; memory does.
"""

_LEAST_FRAMES = 100  # of a window: shorter ones would compute more context than result


class Piece(Protocol):
    """A stretch of codes (channels, stages, frames), or of lost frames."""

    @property
    def codes(self) -> np.ndarray | None: ...

    @property
    def frames(self) -> int: ...


Arrays = tuple[np.ndarray, ...]


class Network(Protocol):
    """A model as a function of arrays, computed by some backend and called from any thread."""

    def encode(self, waves: np.ndarray, position_bits: Sequence[int]) -> np.ndarray:
        """float32 (batch, 1, frames·hop) → int32 codes (batch, stages, frames) of the first
        `len(position_bits)`.
        """
        ...

    def decode(
        self, codes: np.ndarray, position_bits: Sequence[int], noise: np.ndarray | None = None
    ) -> np.ndarray:
        """int32 codes (batch, stages, frames) of the first `len(position_bits)` → float32 (batch,
        1, frames·hop).

        A code of -1 stands for none, of a frame that has fewer stages. `noise` is (1 or batch,
        frames, noise_values), made by `codec.layouts.noise`; without it the codes are those of the
        first frames of a stream.
        """
        ...

    def encode_step(
        self, hops: np.ndarray, state: Arrays, first: int, end: int, stages: int
    ) -> tuple[np.ndarray, Arrays]:
        """The next frames of a stream: float32 hops (batch, frames, hop) → codewords of the first
        `stages` (batch, stages, frames), new state.

        Hop `first` is the first one; codes are those of frames that the encoder's look-ahead lies
        behind. The stream has `end` frames. What the state holds `codec.layouts.receptive_field`
        says.
        """
        ...

    def decode_step(
        self,
        codes: np.ndarray,
        noise: np.ndarray,
        state: Arrays,
        first: int,
        end: int,
        position_bits: Sequence[int],
    ) -> tuple[np.ndarray, Arrays]:
        """The next frames of a stream: codes (batch, stages, frames) → float32 hops (batch, frames,
        hop), new state.

        Hops are those that the decoder's look-ahead lies behind, and so does `noise` (look-ahead +
        frames, values) start, which goes on up to the new frames.
        """
        ...


class Runner:
    """Runs a network on streams."""

    def __init__(self, network: Network, config: ModelConfig) -> None:
        self.network = network
        self._config = config

    def encode(self, blocks: Iterable[np.ndarray], plan: StreamPlan) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at the model's rate → int32 codes (channels, stages, frames).

        Under a budget frames have fewer stages, and digital silence has none
        where the model lets it; -1 stands for those that they do not have.
        """
        header = plan.header
        position_bits = [stage.position_bits for stage in header.stages]

        def compute(wave: np.ndarray, _first_frame: int) -> np.ndarray:
            return self.network.encode(wave[:, None], position_bits)

        allocator = self._allocator(plan)
        waves = whole_frames(blocks, header.hop)
        codes = windowed(
            allocator.observe(waves) if allocator.has_work else waves,
            _by_channels(compute, self._channels_at_once(header)),
            context=self._config.layout.encoder_context,
            window=self._window(header),
            items_per_frame=header.hop,
        )
        return allocator.truncate(codes) if allocator.has_work else codes

    def _allocator(self, plan: StreamPlan) -> RateAllocator:
        return RateAllocator(
            plan.header, plan.budget_bits, self._config.least_stages, plan.expected_bits
        )

    def decode(
        self, pieces: Iterable[Piece], header: StreamHeader, stages: int
    ) -> Iterator[np.ndarray]:
        """Codes → blocks (channels, samples) at the model's rate, from the first `stages` stages.

        Each stretch between losses is decoded by itself; silence stands for what is lost.
        """
        first_frame = 0
        for is_lost, stretch in itertools.groupby(pieces, key=lambda piece: piece.codes is None):
            if is_lost:
                for piece in stretch:
                    yield from silence(header.channels, piece.frames * header.hop)
                    first_frame += piece.frames
            else:
                samples = 0
                for wave in self._decode_stretch(
                    _codes(stretch, stages), header, stages, first_frame
                ):
                    yield wave
                    samples += wave.shape[1]
                first_frame += samples // header.hop

    def _decode_stretch(
        self, codes: Iterable[np.ndarray], header: StreamHeader, stages: int, first_frame: int
    ) -> Iterator[np.ndarray]:
        """Codes of a stretch without losses that begins at `first_frame` of the stream → waves."""
        position_bits = [stage.position_bits for stage in header.stages[:stages]]

        def compute(codes: np.ndarray, start: int) -> np.ndarray:
            noise = decoder_noise(first_frame + start, codes.shape[2], self._config.noise_values)
            return self.network.decode(codes, position_bits, noise[None])[:, 0]

        return windowed(
            codes,
            _by_channels(compute, self._channels_at_once(header)),
            context=self._config.layout.decoder_context,
            window=self._window(header),
            outputs_per_frame=header.hop,
        )

    def encode_batch(
        self,
        waves: Sequence[np.ndarray],
        plans: Sequence[StreamPlan],
        most_frames: int,
    ) -> list[np.ndarray]:
        """`encode` of clips (channels, samples); their headers have the same stages."""
        hop = self._config.hop
        position_bits = [stage.position_bits for stage in plans[0].header.stages]
        codes = _by_clip(
            waves,
            lambda batch, _first_frames: self.network.encode(batch[:, None], position_bits),
            context=self._config.layout.encoder_context,
            most_frames=most_frames,
            items_per_frame=hop,
            nothing=np.zeros((len(position_bits), 0), np.int32),
        )
        allocators = [self._allocator(plan) for plan in plans]
        return [
            allocate_clip(clip, wave, allocator, hop) if allocator.has_work else clip
            for clip, wave, allocator in zip(codes, waves, allocators, strict=True)
        ]

    def decode_batch(
        self, clips: Sequence[np.ndarray], position_bits: Sequence[int], most_frames: int
    ) -> list[np.ndarray]:
        """Clips of codes (channels, stages, frames) → float32 (channels, samples) of each, at the
        model's rate.
        """
        return _by_clip(
            clips,
            lambda batch, firsts: self.network.decode(
                batch, position_bits, self._noise(firsts, batch.shape[2])
            )[:, 0],
            context=self._config.layout.decoder_context,
            most_frames=most_frames,
            outputs_per_frame=self._config.hop,
            nothing=np.zeros(0, np.float32),
        )

    def _noise(self, first_frames: np.ndarray, frames: int) -> np.ndarray:
        """Noise for clips that begin at these frames, (clips, frames, values), or one for all."""
        values = self._config.noise_values
        if not values or (first_frames == first_frames[0]).all():
            return decoder_noise(int(first_frames[0]), frames, values)[None]
        return np.stack([decoder_noise(int(first), frames, values) for first in first_frames])

    def _window(self, header: StreamHeader) -> int:
        return max(_LEAST_FRAMES, int(WINDOW_SECONDS * header.frame_rate_hz) // header.channels)

    def _channels_at_once(self, header: StreamHeader) -> int:
        return max(1, int(WINDOW_SECONDS * header.frame_rate_hz) // self._window(header))


def _codes(pieces: Iterable[Piece], stages: int) -> Iterator[np.ndarray]:
    for piece in pieces:
        assert piece.codes is not None
        yield piece.codes[:, :stages]


def _by_channels(compute: windows.Compute, at_once: int) -> windows.Compute:
    """Apply `compute` to a few channels at a time, so that many channels take no more memory than
    one.
    """

    def whole(items: np.ndarray, first_frame: int) -> np.ndarray:
        groups: Sequence[np.ndarray] = [
            items[start : start + at_once] for start in range(0, len(items), at_once)
        ]
        return np.concatenate(
            [compute(np.ascontiguousarray(group), first_frame) for group in groups]
        )

    return whole


def _by_clip(
    clips: Sequence[np.ndarray],
    compute: batches.Compute,
    *,
    context: Context,
    most_frames: int,
    items_per_frame: int = 1,
    outputs_per_frame: int = 1,
    nothing: np.ndarray,
) -> list[np.ndarray]:
    """`batched` over all channels of clips (channels, ..., items); `nothing` is the result for a
    clip of no length.

    The result of a clip of one channel is a view of its batch.
    """
    channels = [channel for clip in clips for channel in clip]
    made = iter(
        batched(
            [channel for channel in channels if channel.shape[-1]],
            compute,
            context=context,
            most_frames=most_frames,
            items_per_frame=items_per_frame,
            outputs_per_frame=outputs_per_frame,
        )
    )
    results = iter([next(made) if channel.shape[-1] else nothing for channel in channels])
    by_clip = [[next(results) for _ in clip] for clip in clips]
    return [parts[0][None] if len(parts) == 1 else np.stack(parts) for parts in by_clip]
