"""What a trained codec of latents is worth, on latents held out and from transmitted indices alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from codec.bitstream import StageLayout, fit_tables
from codec.quantizers import sort_codebook

from .latent_codec import LatentCodec, perplexity
from .latents import Latents

if TYPE_CHECKING:
    from jaxtyping import Float, Int

POSITION_BITS = (0, 1, 2, 3)
ERROR_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
DAMAGES = ("any_bit", "lowest_bit", "whole_index")


def snr_db(x: Float[Tensor, "n channels"], estimate: Float[Tensor, "n channels"]) -> float:
    """Energy over squared error of latents of mean zero."""
    return float(10 * (x.square().sum() / (x - estimate).square().sum()).log10())


def quality(codec: LatentCodec, x: Float[Tensor, "n channels"]) -> dict[str, Any]:
    """SNR from indices, and each stage: how much of the latent's energy is left after it, and how it is used."""
    codes = codec.encode(x)
    with torch.no_grad():
        latent = codec.encoder(x)
        left = []
        for count in range(1, len(codes) + 1):
            coded = codec.quantizer.decode(codes[:count].T[:, :, None], [0] * count)[:, :, 0]
            left.append(float((latent - coded).square().sum() / latent.square().sum()))
    counts = [torch.bincount(code, minlength=1 << bits).float() for code, bits in zip(codes, _bits(codec), strict=True)]
    return {
        "bits": sum(_bits(codec)),
        "snr_db": snr_db(x, codec.decode(codes)),
        "energy_left": left,
        "used": [float((count > 0).float().mean()) for count in counts],
        "perplexity": [perplexity(count) for count in counts],
    }


def _bits(codec: LatentCodec) -> list[int]:
    return [stage.config.bits for stage in codec.quantizer]


def embedded_positions(codec: LatentCodec, x: Float[Tensor, "n channels"]) -> list[dict[str, Any]]:
    """SNR of one SF codec at 1, 2, 4 and 8 positions per segment; also with positions cut off by the receiver."""
    rows = []
    for position_bits in POSITION_BITS:
        codes = codec.encode(x, position_bits)
        extra = position_bits * sum(stage.config.is_space_filling for stage in codec.quantizer)
        rows.append(
            {
                "position_bits": position_bits,
                "bits": sum(_bits(codec)) + extra,
                "snr_db": snr_db(x, codec.decode(codes, position_bits)),
                "cut_snr_db": snr_db(x, codec.decode(_without_positions(codec, codes, position_bits))),
            }
        )
    return rows


def _without_positions(codec: LatentCodec, codes: Tensor, position_bits: int) -> Tensor:
    shifts = [position_bits * stage.config.is_space_filling for stage in codec.quantizer]
    return codes >> torch.tensor(shifts)[:, None]


@torch.no_grad()
def continuous_snr_db(codec: LatentCodec, x: Float[Tensor, "n channels"]) -> float:
    """As the paper reads SF-DiVeQ: each stage gives the nearest point of its curve. No bits can name that point."""
    latent = codec.encoder(x)
    residual = latent
    for stage in codec.quantizer:
        directions = stage.directions()
        z = residual @ directions.T
        point = (
            _nearest_on_curve(z, stage.table())
            if stage.config.is_space_filling
            else stage.table()[stage.encode(residual)]
        )
        residual = residual - point @ directions
    return snr_db(x, codec.decoder(latent - residual))


def _nearest_on_curve(z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Float[Tensor, "n d"]:
    """The projection of each row onto the nearest segment between consecutive codewords."""
    start, step = codebook[:-1], codebook[1:] - codebook[:-1]
    length = step.square().sum(1).clamp_min(1e-12)
    position = ((z @ step.T - (start * step).sum(1)) / length).clamp(0, 1)
    along = z @ start.T + position * (z @ step.T)  # z·p for the point p of each segment
    square = start.square().sum(1) + 2 * position * (start * step).sum(1) + position.square() * length
    segment = (square - 2 * along).argmin(1)
    return start[segment] + position.gather(1, segment[:, None]) * step[segment]


def damage(codec: LatentCodec, x: Float[Tensor, "n channels"], seed: int) -> list[dict[str, Any]]:
    """SNR in dB where a channel damages the indices (fixed width, no checksum), by kind and rate of error."""
    codes, bits = codec.encode(x), torch.tensor(_bits(codec))[:, None]
    rows = []
    for kind in DAMAGES:
        for rate in ERROR_RATES:
            generator = torch.Generator().manual_seed(seed)
            received = damaged(codes, bits, kind, rate, generator)
            rows.append({"damage": kind, "rate": rate, "snr_db": snr_db(x, codec.decode(received))})
    return rows


def damaged(
    codes: Int[Tensor, "stages n"], bits: Int[Tensor, "stages 1"], kind: str, rate: float, generator: torch.Generator
) -> Int[Tensor, "stages n"]:
    """The indices after a channel that errs at `rate`.

    "any_bit": a binary symmetric channel. "lowest_bit": that, on the lowest bit of each index alone. "whole_index":
    an index becomes any of its stage, all being as likely.
    """
    if kind == "any_bit":
        for bit in range(int(bits.max())):
            flipped = (torch.rand(codes.shape, generator=generator) < rate) & (bit < bits)
            codes = codes ^ (flipped.long() << bit)
        return codes
    hit = torch.rand(codes.shape, generator=generator) < rate
    if kind == "lowest_bit":
        return codes ^ hit.long()
    drawn = torch.randint(1 << 30, codes.shape, generator=generator) % (1 << bits)
    return torch.where(hit, drawn, codes)


def coded_bits(codec: LatentCodec, train: Latents, held_out: Latents) -> dict[str, float]:
    """Bits per index by the codec's integer tables, fitted to training codes: static, and with contexts."""
    layout = tuple(StageLayout(bits) for bits in _bits(codec))
    fitted, measured = (_clips(codec, latents) for latents in (train, held_out))
    indices = sum(clip.size for clip in measured)
    result = {}
    for name, context_bits in (("static", 0), ("contexts", 6)):
        tables = fit_tables(fitted, layout, max_context_bits=context_bits)
        result[name] = float(sum(tables.code_length_bits(clip, layout).sum() for clip in measured)) / indices
    return result


def _clips(codec: LatentCodec, latents: Latents) -> Sequence[np.ndarray]:
    codes = codec.encode(latents.tensor()).numpy()
    return np.split(codes, np.cumsum(latents.clip_frames)[:-1], axis=1)


def reordered(codec: LatentCodec, order: Callable[[Any], None]) -> LatentCodec:
    """A copy with the codebooks of its DiVeQ stages in another order, which changes no sound."""
    result = copy.deepcopy(codec)
    for stage in result.quantizer:
        if not stage.config.is_space_filling:
            order(stage)
    return result


def in_tour_order(codec: LatentCodec) -> LatentCodec:
    """As a model file has it."""
    return reordered(codec, sort_codebook)


def in_random_order(codec: LatentCodec, seed: int) -> LatentCodec:
    """As a method without a tour leaves it."""
    generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def shuffle(stage: Any) -> None:
        stage.codebook.copy_(stage.codebook[torch.randperm(len(stage.codebook), generator=generator)])

    return reordered(codec, shuffle)
