"""The whole model: encoder, residual quantizer, decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..layouts.config import LOST, ModelConfig
from ..layouts.filterbank.filterbank_layout import FilterbankLayout
from ..layouts.filterbank.filterbank_network import FilterbankDecoder, FilterbankEncoder
from ..layouts.filterbank.layers import add_weight_norm
from ..layouts.noise import decoder_noise
from ..layouts.transform.transform_layout import TransformLayout
from ..layouts.transform.transform_network import TransformDecoder, TransformEncoder
from ..layouts.transform.transform_start import start_from_waves
from ..quantizers import ResidualQuantizer, StageStatistics, initialise

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Encoder = TransformEncoder | FilterbankEncoder
Decoder = TransformDecoder | FilterbankDecoder


@dataclass(frozen=True)
class ModelOutput:
    """`wave` as decoded, `codes` (batch, stages, frames) and per-stage statistics, empty where not
    quantized.
    """

    wave: Float[Tensor, "batch 1 time"]
    latent: Float[Tensor, "batch channels frames"]
    codes: Int[Tensor, "batch stages frames"] | None
    statistics: list[StageStatistics]


# The modules of a layout: encoder and decoder.
NETWORKS: dict[type, tuple[Callable[..., Encoder], Callable[..., Decoder]]] = {
    TransformLayout: (TransformEncoder, TransformDecoder),
    FilterbankLayout: (FilterbankEncoder, FilterbankDecoder),
}


class CodecModel(nn.Module):
    """Waveforms of a multiple of `config.hop` samples to codes and back.

    `forward` is for training; `encode` and `decode` are what files are made of and depend on
    nothing but their input and the weights. `weight_norm` is for training too; without it see
    `plain`.
    """

    def __init__(self, config: ModelConfig, *, weight_norm: bool = True) -> None:
        super().__init__()
        self.config = config
        encoder, decoder = NETWORKS[type(config.layout)]
        self.encoder = encoder(config.layout, config.latent_channels)
        self.quantizer = ResidualQuantizer(config.stages, config.latent_channels)
        self.decoder = decoder(config.layout, config.latent_channels)
        if weight_norm:
            add_weight_norm(self)

    def forward(
        self,
        wave: Float[Tensor, "batch 1 time"],
        *,
        quantize: bool = True,
        active_stages: Int[Tensor, "batch frames"] | None = None,
        lost: Bool[Tensor, "batch frames"] | None = None,
        position_bits: int | None = None,
    ) -> ModelOutput:
        """Reconstruct, with noise drawn anew; without `quantize` the latent goes to the decoder as
        it is (warm-up).

        Each frame keeps its first `active_stages`; of those that are `lost` the decoder sees
        nothing.
        """
        latent = self.encoder(wave)
        noise = torch.randn(
            len(wave), latent.shape[2], self.config.noise_values, device=wave.device
        )
        if not quantize:
            return ModelOutput(
                wave=self.decode_latent(latent, noise), latent=latent, codes=None, statistics=[]
            )
        quantized = self.quantizer(latent, active_stages, position_bits)
        return ModelOutput(
            wave=self.decode_latent(quantized.latent, noise, lost),
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
        self,
        codes: Int[Tensor, "batch stages frames"],
        position_bits: Sequence[int],
        noise: Float[Tensor, "_ frames values"] | None = None,
    ) -> Float[Tensor, "batch 1 time"]:
        """The waveform of any prefix of stages, frames·hop samples. The codes of a lost frame are
        LOST.

        Without `noise` the codes are those of the first frames of a stream.
        """
        if noise is None:
            noise = torch.from_numpy(decoder_noise(0, codes.shape[2], self.config.noise_values))[
                None
            ].to(codes.device)
        lost = codes[:, 0] == LOST if self.config.conceals else None
        return self.decode_latent(
            self.quantizer.decode(codes.clamp_min(-1), position_bits), noise, lost
        )

    def decode_latent(
        self,
        latent: Float[Tensor, "batch channels frames"],
        noise: Float[Tensor, "_ frames values"],
        lost: Bool[Tensor, "batch frames"] | None = None,
    ) -> Float[Tensor, "batch 1 time"]:
        """Decode latents to a waveform; a layout without noise or lost frames ignores these
        arguments.
        """
        return self.decoder(latent, noise, lost)

    def start_from_waves(self, waves: Float[Tensor, "batch 1 time"]) -> None:
        """Initialise the transform layout from data, before the first step."""
        assert isinstance(self.encoder, TransformEncoder)
        assert isinstance(self.decoder, TransformDecoder)
        start_from_waves(self.encoder, self.decoder, waves)

    @torch.no_grad()
    def start_quantizing(
        self, latents: Float[Tensor, "n channels"], generator: torch.Generator
    ) -> list[float]:
        """Initialise all stages from latents at the end of the warm-up; return the share of the
        latents' energy left after each.

        The latents' mean first moves from the encoder's last bias to the decoder's first, which
        computes the same (but at the edges): no stage has to transmit it.
        """
        mean = latents.float().mean(0)
        self.encoder.subtract_mean(mean)
        self.decoder.add_mean(mean)
        return initialise(self.quantizer, latents.float() - mean, generator)

    @classmethod
    def plain(cls, config: ModelConfig) -> CodecModel:
        """A model for inference, ready to be given folded weights."""
        model = cls(config, weight_norm=False)
        for stage in model.quantizer:
            stage.is_folded = True
        return model.eval().requires_grad_(False)

    def folded(self) -> CodecModel:
        """Copy the model for inference: weight norm and the stages' training form are folded, the
        function stays the same.
        """
        like = next(self.parameters())
        copy = self.plain(self.config).to(like.device, like.dtype)
        values = {}
        for name in copy.state_dict():
            module, _, attribute = name.rpartition(".")
            values[name] = getattr(self.get_submodule(module), attribute).detach()
        copy.load_state_dict(values)
        copy.quantizer.fold(self.quantizer)
        return copy

    @torch.no_grad()
    def unfold(self, folded: CodecModel) -> None:
        """The inverse of `folded`, for training on from a model file."""
        for name, value in folded.named_parameters():
            module, _, attribute = name.rpartition(".")
            owner = self.get_submodule(module)
            if parametrize.is_parametrized(owner, attribute):
                setattr(owner, attribute, value.detach())  # weight norm takes it apart again
            else:
                getattr(owner, attribute).copy_(value)
        self.quantizer.unfold(folded.quantizer)
