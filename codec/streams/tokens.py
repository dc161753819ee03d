"""Codes without a stream around them, as language models use them: arrays in, vectors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..audio.sound import as_array
from ..bitstream import NONE, StageLayout, find_bad_index
from ..errors import BitstreamError
from ..layouts.config import ModelConfig

__all__ = ["CodeVectors", "clips_of_codes", "one_clip"]

_INT32 = np.iinfo(np.int32)


def one_clip(codes: Any) -> np.ndarray:
    """Codes (stages, frames) or (channels, stages, frames) as int32 (channels, stages, frames)."""
    array = _integers(codes)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise BitstreamError(
            f"codes of one clip have the shape (stages, frames) or (channels, stages, frames), not "
            f"{array.shape}"
        )
    return array


def clips_of_codes(codes: Any, lengths: Any) -> list[np.ndarray]:
    """A padded batch (batch, stages, frames) as clips of one channel, each of as many frames as
    `lengths` says.
    """
    array, counts = _integers(codes), _integers(lengths)
    if array.ndim != 3:
        raise BitstreamError(
            f"a batch of codes has the shape (batch, stages, frames), not {array.shape}"
        )
    if counts.shape != array.shape[:1]:
        raise BitstreamError(
            f"lengths has the shape (batch,), here ({len(array)},), not {counts.shape}"
        )
    frames = array.shape[2]
    if len(counts) and (counts.min() < 0 or counts.max() > frames):
        raise BitstreamError(
            f"lengths are 0 to {frames} frames, not {counts.min()} to {counts.max()}"
        )
    return [clip[None, :, :count] for clip, count in zip(array, counts, strict=True)]


def _integers(values: Any) -> np.ndarray:
    """Convert to int32; values out of its range are clipped to its ends, which are no codes
    either.
    """
    try:
        array = np.asarray(as_array(values))
    except ValueError as error:
        raise BitstreamError(
            f"codes of different lengths are one array with -1 behind the ends: {error}"
        ) from error
    if not np.issubdtype(array.dtype, np.integer):
        raise BitstreamError(f"codes and lengths are whole numbers, not {array.dtype}")
    return array.clip(_INT32.min, _INT32.max).astype(np.int32)


class CodeVectors:
    """Maps codes to vectors: a frame's latent is the sum of one vector of each of its stages."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, np.ndarray]) -> None:
        self._stages = config.stages
        numbers = range(len(config.stages))
        self._entries = [
            weights[f"quantizer.stages.{n}.codebook"].astype(np.float32) for n in numbers
        ]
        self._directions = [
            weights[f"quantizer.stages.{n}.projection"].astype(np.float32) for n in numbers
        ]

    def codebooks(self) -> list[np.ndarray]:
        """For each stage float32 (codewords, latent channels)."""
        return [
            entries @ directions
            for entries, directions in zip(self._entries, self._directions, strict=True)
        ]

    def latents(self, codes: np.ndarray, position_bits: int) -> np.ndarray:
        """int32 (channels, stages, frames) → float32 (channels, latent channels, frames)."""
        bits = [position_bits * stage.is_space_filling for stage in self._stages[: codes.shape[1]]]
        self._check(codes, bits)
        parts = [
            _entries(table, codes[:, number], bits[number])
            for number, table in enumerate(self._entries[: codes.shape[1]])
        ]
        directions = np.concatenate(self._directions[: codes.shape[1]])
        return np.moveaxis(np.concatenate(parts, axis=-1) @ directions, 1, 2)

    def _check(self, codes: np.ndarray, bits: Sequence[int]) -> None:
        if not 1 <= codes.shape[1] <= len(self._stages):
            raise BitstreamError(
                f"the model has stages 1 to {len(self._stages)}, these codes have {codes.shape[1]}"
            )
        try:
            layout = [
                StageLayout(stage.bits, extra)
                for stage, extra in zip(self._stages, bits, strict=False)
            ]
        except ValueError as error:
            raise BitstreamError(str(error)) from error
        if fault := find_bad_index(codes, layout):
            raise BitstreamError(f"these are no codes: {fault}")


def _entries(codebook: np.ndarray, codes: np.ndarray, position_bits: int) -> np.ndarray:
    """Look up the points that a stage's indices name; zero where there is none."""
    codeword = np.maximum(codes, 0) >> position_bits
    points = codebook[codeword]
    if position_bits:
        share = (np.maximum(codes, 0) - (codeword << position_bits))[..., None] / np.float32(
            1 << position_bits
        )
        following = codebook[np.minimum(codeword + 1, len(codebook) - 1)]
        points = points + (following - points) * share.astype(np.float32)
    return np.where((codes == NONE)[..., None], np.float32(0), points)
