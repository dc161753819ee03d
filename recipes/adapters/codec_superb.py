"""Codec-SUPERB: a `BaseCodec` of its package SoundCodec.

Its benchmarks load a codec by name from the folder `SoundCodec/codec`; a file there of two lines
makes this one known:

    from recipes.adapters.codec_superb import DiveqBaseCodec
    Codec = DiveqBaseCodec
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from SoundCodec.base_codec.general import (  # pyright: ignore[reportMissingImports]
    BaseCodec,
    BatchExtractedUnit,
    ExtractedUnit,
)

from codec import DEFAULT_MODEL, Codec, Encoded


class DiveqBaseCodec(BaseCodec):
    """Units are codes (stages, frames); audio comes back at the rate and length that it had."""

    model: ClassVar[str] = DEFAULT_MODEL
    options: ClassVar[dict[str, Any]] = {}
    """`stages` or `bitrate_kbps`, as of `Codec.encode`."""

    def config(self) -> None:
        self.setting = "_".join(
            [self.model, *(f"{value:g}{name}" for name, value in self.options.items())]
        )
        self.codec = Codec.load(self.model, device=self.device)
        self.sampling_rate = self.codec.config.sample_rate_hz

    def extract_unit(self, data: dict[str, Any]) -> ExtractedUnit:
        return _extracted(self.codec.encode(self._sound(data), **self.options))

    def decode_unit(self, stuff_for_synth: Encoded) -> torch.Tensor:
        return torch.from_numpy(self.codec.decode(stuff_for_synth).wave)

    def batch_extract_unit(self, data_list: list[dict[str, Any]]) -> BatchExtractedUnit:
        clips = self.codec.encode_batch([self._sound(data) for data in data_list], **self.options)
        units = [_extracted(clip) for clip in clips]
        return BatchExtractedUnit(
            units=[unit.unit for unit in units],
            stuff_for_synth=[unit.stuff_for_synth for unit in units],
            batch_size=len(units),
        )

    def batch_decode_unit(self, batch_extracted_unit: BatchExtractedUnit) -> list[torch.Tensor]:
        made = self.codec.decode_batch(batch_extracted_unit.stuff_for_synth)
        return [torch.from_numpy(audio.wave) for audio in made]

    def _sound(self, data: dict[str, Any]) -> dict[str, Any]:
        """The audio column; an array without a rate has the codec's, as the toolkit resamples to
        it.
        """
        return {"sampling_rate": self.sampling_rate, **data["audio"]}


def _extracted(clip: Encoded) -> ExtractedUnit:
    return ExtractedUnit(unit=torch.from_numpy(clip.codes[0]).long(), stuff_for_synth=clip)
