"""Chains the steps of coding a stream: resampling, network, and back, cut to the exact length."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from ..audio import resample_blocks, resampled_length
from ..audio.blocks import cut_to
from ..audio.high_pass import high_passed
from ..bitstream import EntropyTables, StreamHeader, StreamReader
from .headers import StreamPlan, StreamRules
from .limits import limited_packets
from .results import Encoded
from .runner import Piece, Runner

__all__ = ["Pipeline"]

_Kind = TypeVar("_Kind", bound=Hashable)


class Pipeline:
    """A network, the streams that it codes, and the entropy tables of its codes."""

    def __init__(self, runner: Runner, rules: StreamRules, tables: EntropyTables | None) -> None:
        self._runner, self._rules, self._tables = runner, rules, tables

    def encode(self, blocks: Iterable[np.ndarray], plan: StreamPlan) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at the original rate → codes (channels, stages, frames)."""
        return self._runner.encode(_to_model(blocks, plan.header), plan)

    def encode_clips(
        self,
        waves: Sequence[np.ndarray],
        plans: Sequence[StreamPlan],
        batch_seconds: float,
    ) -> list[Encoded]:
        """What `encode` gives of each wave (channels, samples); `batch_seconds` of audio are
        computed at once.
        """
        prepared = [
            np.concatenate([wave[:, :0], *_to_model([wave], plan.header)], axis=-1)
            for wave, plan in zip(waves, plans, strict=True)
        ]
        codes: dict[int, np.ndarray] = {}
        for _, numbers in _alike([plan.header.stages for plan in plans]):
            made = self._runner.encode_batch(
                [prepared[number] for number in numbers],
                [plans[number] for number in numbers],
                self._frames(batch_seconds),
            )
            # a clip's own codes: a view would keep its whole batch in memory
            codes.update(zip(numbers, map(np.copy, made), strict=True))
        return [
            Encoded(
                codes=codes[number],
                samples=waves[number].shape[1],
                header=plan.header,
                tables=self._tables,
            )
            for number, plan in enumerate(plans)
        ]

    def decode(
        self,
        stream: Encoded | StreamReader,
        rate: int,
        stages: int | None,
        recover: bool,
        max_seconds: float | None,
    ) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at `rate`, of the exact length."""
        self._rules.check(stream.header)
        count = self._rules.stages_of(stream.header, stages)
        if isinstance(stream, Encoded):
            pieces: Iterable[Piece] = [stream]
        else:
            pieces = limited_packets(
                stream, self._tables, rate=rate, max_seconds=max_seconds, recover=recover
            )
        return _at_rate(self._runner.decode(pieces, stream.header, count), stream, rate)

    def decode_clips(
        self,
        clips: Sequence[Encoded],
        rates: Sequence[int],
        stages: int | None,
        batch_seconds: float,
    ) -> list[list[np.ndarray]]:
        """What `decode` gives of each clip; `batch_seconds` of audio are computed at once."""
        kept = [self._rules.stages_of(clip.header, stages) for clip in clips]
        layouts = [
            tuple(stage.position_bits for stage in clip.header.stages[:count])
            for clip, count in zip(clips, kept, strict=True)
        ]
        waves: dict[int, np.ndarray] = {}
        for layout, numbers in _alike(layouts):
            codes = [clips[number].codes[:, : len(layout)] for number in numbers]
            made = self._runner.decode_batch(codes, layout, self._frames(batch_seconds))
            waves.update(zip(numbers, made, strict=True))
        return [list(_at_rate([waves[n]], clips[n], rates[n])) for n in range(len(clips))]

    def read(self, stream: Encoded | StreamReader) -> Encoded:
        """Read all of a stream into memory."""
        self._rules.check(stream.header)
        if isinstance(stream, Encoded):
            return stream
        empty = np.zeros((stream.header.channels, len(stream.header.stages), 0), dtype=np.int32)
        packets = limited_packets(
            stream, self._tables, rate=stream.header.model_rate_hz, max_seconds=None
        )
        pieces = [packet.codes for packet in packets if packet.codes is not None]
        codes = np.concatenate([empty, *pieces], axis=-1)
        return Encoded(
            codes=codes, samples=stream.samples, header=stream.header, tables=self._tables
        )

    def _frames(self, seconds: float) -> int:
        return max(1, int(seconds * self._rules.config.frame_rate_hz))


def _alike(kinds: Sequence[_Kind]) -> list[tuple[_Kind, list[int]]]:
    """Each kind, and at which numbers it stands."""
    numbers: dict[_Kind, list[int]] = {}
    for number, kind in enumerate(kinds):
        numbers.setdefault(kind, []).append(number)
    return list(numbers.items())


def _to_model(blocks: Iterable[np.ndarray], header: StreamHeader) -> Iterator[np.ndarray]:
    """What the model gets of a signal: resampled to its rate, and high-passed."""
    resampled = resample_blocks(
        blocks,
        from_hz=header.original_rate_hz,
        to_hz=header.model_rate_hz,
        channels=header.channels,
    )
    return high_passed(resampled, header.model_rate_hz)


def _at_rate(
    waves: Iterable[np.ndarray], stream: Encoded | StreamReader, rate: int
) -> Iterator[np.ndarray]:
    """Resample whole frames (channels, samples) at the model's rate to `rate`, cut to the exact
    length.
    """
    header = stream.header
    waves = cut_to(waves, header.hop, lambda: header.model_samples(stream.samples))
    waves = resample_blocks(
        waves, from_hz=header.model_rate_hz, to_hz=rate, channels=header.channels
    )
    slack = rate // min(header.model_rate_hz, header.original_rate_hz) + 2
    return cut_to(
        waves, slack, lambda: resampled_length(stream.samples, header.original_rate_hz, rate)
    )
