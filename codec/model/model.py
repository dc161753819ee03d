"""The whole model: encoder, residual quantizer, decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import ModelConfig
from ..quantizers import ResidualQuantizer, StageStatistics, initialise
from .layers import Conv, ConvTranspose, ResidualUnit, Snake, fold_weight_norm

# Speech at -26 dBFS has an RMS of 0.05, where Snake is all but linear; the front end starts by bringing it to 0.5.
_FRONTEND_GAIN = 10.0


class Encoder(nn.Sequential):
    """Waveform → latent: strided filterbank, (residual units, strided convolution) per stride, convolution."""

    def __init__(self, config: ModelConfig) -> None:
        width, causal = config.encoder_width, config.causal
        layers: list[nn.Module] = [Conv(1, width, config.frontend_kernel, causal=causal, stride=config.frontend_stride)]
        for stride in config.strides:
            layers += [ResidualUnit(width, config.residual_kernel, d, causal=causal) for d in config.dilations]
            layers += [Snake(width), Conv(width, 2 * width, 2 * stride, causal=causal, stride=stride)]
            width *= 2
        layers += [Snake(width), Conv(width, config.latent_channels, 3, causal=causal)]
        super().__init__(*layers)


class Decoder(nn.Sequential):
    """Latent → waveform: the encoder's mirror."""

    def __init__(self, config: ModelConfig) -> None:
        width, causal = config.decoder_width, config.causal
        layers: list[nn.Module] = [Conv(config.latent_channels, width, 7, causal=causal)]
        for stride in reversed(config.strides):
            layers += [
                Snake(width),
                ConvTranspose(width, width // 2, 2 * stride, causal=causal, stride=stride),
            ]
            width //= 2
            layers += [ResidualUnit(width, config.residual_kernel, d, causal=causal) for d in config.dilations]
        layers += [
            Snake(width),
            ConvTranspose(
                width,
                1,
                config.frontend_kernel,
                causal=causal,
                stride=config.frontend_stride,
                gain=1 / _FRONTEND_GAIN,
            ),
        ]
        super().__init__(*layers)


@dataclass(frozen=True)
class ModelOutput:
    """`wave` as decoded, `codes` (batch, stages, frames) and per-stage statistics, empty where not quantized."""

    wave: Float[Tensor, "batch 1 time"]
    latent: Float[Tensor, "batch channels frames"]
    codes: Int[Tensor, "batch stages frames"] | None
    statistics: list[StageStatistics]


class CodecModel(nn.Module):
    """Waveforms of a multiple of `config.hop` samples to codes and back.

    `forward` is for training; `encode` and `decode` are what files are made of and depend on nothing but their
    input and the weights.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualQuantizer(config.stages, config.latent_channels)
        self.decoder = Decoder(config)

    def forward(
        self,
        wave: Float[Tensor, "batch 1 time"],
        *,
        quantize: bool = True,
        active_stages: Int[Tensor, " batch"] | None = None,
        position_bits: int | None = None,
    ) -> ModelOutput:
        """Reconstruct; without `quantize` the latent goes to the decoder as it is (warm-up)."""
        latent = self.encoder(wave)
        if not quantize:
            return ModelOutput(wave=self.decoder(latent), latent=latent, codes=None, statistics=[])
        quantized = self.quantizer(latent, active_stages, position_bits)
        return ModelOutput(
            wave=self.decoder(quantized.latent),
            latent=latent,
            codes=quantized.codes,
            statistics=quantized.statistics,
        )

    def encode(
        self, wave: Float[Tensor, "batch 1 time"], position_bits: Sequence[int]
    ) -> Int[Tensor, "batch stages frames"]:
        """Codes of the first `len(position_bits)` stages."""
        return self.quantizer.encode(self.encoder(wave), position_bits)

    def decode(
        self, codes: Int[Tensor, "batch stages frames"], position_bits: Sequence[int]
    ) -> Float[Tensor, "batch 1 time"]:
        """The waveform of any prefix of stages, frames·hop samples."""
        return self.decoder(self.quantizer.decode(codes, position_bits))

    @torch.no_grad()
    def start_quantizing(self, latents: Float[Tensor, "n channels"], generator: torch.Generator) -> list[float]:
        """End of the warm-up: start all stages from latents; returns the share of their energy left after each.

        The latents' mean first moves from the encoder's last bias to the decoder's first, which computes the same
        (but at the edges): no stage has to transmit it.
        """
        first, last = self.decoder[0], self.encoder[-1]
        assert isinstance(first, Conv)
        assert isinstance(last, Conv)
        mean = latents.float().mean(0)
        assert last.conv.bias is not None
        assert first.conv.bias is not None
        last.conv.bias.sub_(mean)
        first.conv.bias.add_(first.conv.weight.sum(-1) @ mean)
        return initialise(self.quantizer, latents.float() - mean, generator)

    @classmethod
    def plain(cls, config: ModelConfig) -> CodecModel:
        """A model for inference, ready to be given folded weights."""
        model = cls(config)
        fold_weight_norm(model)
        for stage in model.quantizer:
            stage.is_folded = True
        return model.eval().requires_grad_(False)

    def folded(self) -> CodecModel:
        """A copy for inference that computes the same: weight norm and the stages' training form folded."""
        like = next(self.parameters())
        copy = self.plain(self.config).to(like.device, like.dtype)
        values = {}
        for name in copy.state_dict():
            module, _, attribute = name.rpartition(".")
            values[name] = getattr(self.get_submodule(module), attribute).detach()
        copy.load_state_dict(values)
        copy.quantizer.fold(self.quantizer)
        return copy
