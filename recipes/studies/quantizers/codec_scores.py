"""What a codec of the study is worth: scores of decoded files at the bits that they take, and error
per stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from codec import Codec
from codec.evaluation.candidates import Candidate, Decoded
from codec.evaluation.evaluate import evaluate
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.result import System
from codec.evaluation.signal import NamedSignal, Signal
from codec.model import CodecModel
from codec.quantizers import sort_codebook
from codec.training.to_model_file import model_tables, to_checkpoint
from codec.training.validation import HeldOut, codec_of

MEASURES = ("pesq_wb", "stoi", "mel_distance", "si_sdr")
_POSITION_BITS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What all codecs of a study are measured with."""

    held_out: list[HeldOut]
    table_waves: list[np.ndarray]
    """Training clips (samples,) at the model's rate, whose codes the entropy tables are fitted to.
    """
    stage_counts: tuple[int, ...]
    """At which numbers of stages codecs are scored; those that a codec has not are left out."""
    scorers: Executor | None = None


def scores(model: CodecModel, yardstick: Yardstick, device: str) -> dict[str, Any]:
    """A folded model as a file would hold it: DiVeQ codebooks in tour order, weights rounded,
    tables fitted.

    "positions" are scores with positions on the segments of SF stages, where all stages are such.
    """
    for stage in model.quantizer:
        if not stage.config.is_space_filling:
            sort_codebook(stage)
    codec = _with_tables(model, yardstick.table_waves, device)
    counts = [count for count in yardstick.stage_counts if count <= len(codec.config.stages)]
    systems = _evaluated(
        model_candidates(codec, stage_counts=counts), codec.config.sample_rate_hz, yardstick
    )
    use = systems[-1].stages or ()
    result = {
        "rows": [
            {"stages": count, **_row(system)} for count, system in zip(counts, systems, strict=True)
        ],
        "energy_left": energy_left(model, yardstick.held_out, device),
        "used": [stage.used for stage in use],
        "entropy_bits": [stage.entropy_bits for stage in use],
    }
    if all(stage.is_space_filling for stage in codec.config.stages):
        result["positions"] = _position_rows(codec, counts, yardstick)
    return result


def _position_rows(
    codec: Codec, counts: Sequence[int], yardstick: Yardstick
) -> list[dict[str, Any]]:
    """The same weights at more bits per index."""
    finer = [ModelPositions(codec, count, bits) for count in counts for bits in _POSITION_BITS]
    systems = _evaluated(finer, codec.config.sample_rate_hz, yardstick)
    return [
        {"stages": candidate.count, "position_bits": candidate.position_bits, **_row(system)}
        for candidate, system in zip(finer, systems, strict=True)
    ]


class ModelPositions:
    """The first stages of a model, with extra bits for the position on each segment of the
    curve.
    """

    align = False
    note = ""

    def __init__(self, codec: Codec, count: int, position_bits: int) -> None:
        self.codec, self.count, self.position_bits = codec, count, position_bits
        self.family = f"{codec.name}, {position_bits} position bits"
        self.name = f"{self.family}, {count} stages"

    def decode(self, name: str, signal: Signal) -> Decoded:
        """Through the bytes that a file would hold."""
        data = self.codec.encode(
            signal.wave,
            sample_rate_hz=signal.sample_rate_hz,
            stages=self.count,
            position_bits=self.position_bits,
        ).to_bytes()
        audio = self.codec.decode(data)
        return Decoded(
            signal=Signal(wave=audio.wave, sample_rate_hz=audio.sample_rate_hz), bits=8 * len(data)
        )

    def stages(self) -> None:
        return None


def _with_tables(model: CodecModel, waves: Sequence[np.ndarray], device: str) -> Codec:
    plain = codec_of(to_checkpoint(model), device=device)
    codes = [
        plain.encode(wave, sample_rate_hz=plain.config.sample_rate_hz).codes[0] for wave in waves
    ]
    return codec_of(to_checkpoint(model, tables=model_tables(plain.config, codes)), device=device)


def _evaluated(
    candidates: Sequence[Candidate], sample_rate_hz: int, yardstick: Yardstick
) -> tuple[System, ...]:
    originals = [
        NamedSignal.mono(clip.name, clip.wave, sample_rate_hz) for clip in yardstick.held_out
    ]
    return evaluate(
        originals, candidates, data="held out", metrics=MEASURES, workers=yardstick.scorers or 1
    ).systems


def _row(system: System) -> dict[str, Any]:
    """The rate, and of each measure the value of every clip, so that methods can be compared clip
    by clip.
    """
    values = {
        name: [clip.scores[name].value if name in clip.scores else None for clip in system.clips]
        for name in MEASURES
    }
    return {"kbps": system.kbps, "clips": values}


@torch.no_grad()
def energy_left(model: CodecModel, held_out: Sequence[HeldOut], device: str) -> list[float]:
    """After each stage, the share of the latents' energy that is not coded yet."""
    stages, hop = len(model.config.stages), model.config.hop
    energy, left = 0.0, [0.0] * stages
    for clip in held_out:
        wave = torch.from_numpy(clip.wave[: len(clip.wave) // hop * hop]).to(device)[None, None]
        latent = model.encoder(wave)
        codes = model.quantizer.encode(latent, [0] * stages)
        energy += float(latent.square().sum())
        for count in range(1, stages + 1):
            coded = model.quantizer.decode(codes[:, :count], [0] * count)
            left[count - 1] += float((latent - coded).square().sum())
    return [value / energy if energy else math.nan for value in left]
