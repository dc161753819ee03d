"""The model as a torch module, with the names that neural codecs have in Hugging Face
transformers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .audio.high_pass import HighPass
from .backends.torch_backend import build_model, tf32
from .checkpoint import Checkpoint
from .errors import AudioError, ConfigError
from .hub import find_pretrained, save_model
from .layouts.config import ModelConfig
from .layouts.noise import decoder_noise
from .streams.batches import batched

__all__ = ["DiveqCodecModel", "DiveqDecoderOutput", "DiveqEncoderOutput", "DiveqOutput"]

_MOST_FRAMES = 3000  # computed at once: a minute of 20 ms frames


@dataclass(frozen=True)
class DiveqEncoderOutput:
    """`audio_codes`: int64 (batch, codebooks, frames), -1 behind the end of a clip that is shorter
    than the longest.
    """

    audio_codes: Tensor


@dataclass(frozen=True)
class DiveqDecoderOutput:
    """`audio_values`: float32 (batch, 1, frames·hop_length)."""

    audio_values: Tensor


@dataclass(frozen=True)
class DiveqOutput:
    """Of `forward`: codes as of `encode`, audio as of `decode`, and the latent before
    quantization.
    """

    audio_codes: Tensor
    audio_values: Tensor
    latents: Tensor


class DiveqCodecModel(nn.Module):
    """A codec to compute gradients through: to fine-tune it, or to train something in front of it
    or behind it.

    `encode` gives the codes of `Codec.encode`, and codes of digital silence, which there are -1.
    `forward` decodes what it quantizes with DiVeQ's gradient, without its noise (the paper's detach
    variant), so that its audio is that of `decode(encode(…))`; train and eval mode are the same.
    Codebooks, encoder and decoder are trainable; the directions that a stage quantizes in are not,
    as nothing here would keep them orthonormal (`recipes/runs/folder` trains these, too).

    Example:
        >>> import torch
        >>> model = DiveqCodecModel.from_pretrained("speech_16khz")
        >>> audio_codes = model.encode(torch.zeros(2, 1, 16000), num_quantizers=8).audio_codes
        >>> audio_codes.shape, model.decode(audio_codes).audio_values.shape
        (torch.Size([2, 8, 50]), torch.Size([2, 1, 16000]))
    """

    high_pass_response: Tensor

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.config: ModelConfig = checkpoint.config
        self._tables = checkpoint.tables
        self._facts = {
            "fine_tuned_from": {"model": checkpoint.fingerprint().hex(), **checkpoint.facts}
        }
        without_noise = tuple(
            dataclasses.replace(stage, noise_variance=0.0) for stage in self.config.stages
        )
        quiet = dataclasses.replace(self.config, stages=without_noise)
        self.model = build_model(dataclasses.replace(checkpoint, config=quiet)).requires_grad_(True)
        for stage in self.model.quantizer:
            stage.projection.requires_grad_(False)
        impulse = np.eye(1, self.sampling_rate, dtype=np.float32)  # a second, long after its end
        response = torch.from_numpy(HighPass(self.sampling_rate).push(impulse)[0])
        self.register_buffer("high_pass_response", response, persistent=False)

    @classmethod
    def from_pretrained(
        cls, name: str | PathLike[str], *, revision: str | None = None
    ) -> DiveqCodecModel:
        """A shipped model's name, a model file, a folder, or an id on the Hugging Face hub."""
        return cls(Checkpoint.load(find_pretrained(name, revision=revision)))

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write a folder that `from_pretrained` and `Codec.from_pretrained` load."""
        weights = {
            name: value.detach().cpu().float().numpy()
            for name, value in self.model.named_parameters()
        }
        checkpoint = Checkpoint(
            config=self.config, weights=weights, tables=self._tables, facts=self._facts
        )
        save_model(checkpoint, folder)

    @property
    def sampling_rate(self) -> int:
        return self.config.sample_rate_hz

    @property
    def hop_length(self) -> int:
        return self.config.hop

    @property
    def num_quantizers(self) -> int:
        return len(self.config.stages)

    @property
    def codebook_size(self) -> int:
        """Of the largest codebook."""
        return max(stage.codewords for stage in self.config.stages)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.no_grad()
    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        num_quantizers: int | None = None,
    ) -> DiveqEncoderOutput:
        """Audio to codes.

        Args:
            input_values: floats (batch, 1, samples) or (batch, samples) at `sampling_rate`, in [-1,
                1].
            padding_mask: (batch, samples), 1 at samples and 0 behind a clip's end. Each clip has
                the codes that it has
                alone: the padding changes nothing.
            num_quantizers: how many codebooks, from the first; None is all.
        """
        waves, lengths = self._checked(input_values, padding_mask)
        bits = [0] * self._count(num_quantizers)

        def compute(batch: np.ndarray, _first_frames: np.ndarray) -> np.ndarray:
            with tf32(allowed=False):
                return (
                    self.model.encode(torch.from_numpy(batch)[:, None].to(self.device), bits)
                    .cpu()
                    .numpy()
                )

        present = [
            HighPass(self.sampling_rate).push(wave[None, :length])[0]
            for wave, length in zip(waves.cpu().numpy(), lengths, strict=True)
        ]
        made = iter(
            batched(
                [wave for wave in present if len(wave)],
                compute,
                context=self.config.layout.encoder_context,
                most_frames=_MOST_FRAMES,
                items_per_frame=self.hop_length,
            )
        )
        audio_codes = torch.full(
            (len(present), len(bits), -(-waves.shape[1] // self.hop_length)), -1
        )
        for row, wave in zip(audio_codes, present, strict=True):
            if len(wave):
                clip = torch.from_numpy(next(made))
                row[:, : clip.shape[1]] = clip
        return DiveqEncoderOutput(audio_codes=audio_codes.to(input_values.device))

    def latents(self, audio_codes: Tensor) -> Tensor:
        """The quantized vectors (batch, latent channels, frames): the sum of each stage's; -1 adds
        nothing.
        """
        stages = list(self.model.quantizer)[: self._count(audio_codes.shape[1])]
        flat = audio_codes.transpose(0, 1).flatten(1)  # stages, batch·frames
        vectors = [
            stage.entries(codes) @ stage.directions()
            for stage, codes in zip(stages, flat, strict=True)
        ]
        latents = torch.stack(vectors).sum(0)  # batch·frames, channels
        return latents.unflatten(0, (len(audio_codes), -1)).transpose(1, 2)

    def decode(self, audio_codes: Tensor) -> DiveqDecoderOutput:
        """Codes (batch, codebooks, frames) of the first codebooks, as many as there are, to audio.

        -1 stands for a codebook that a frame does not have.
        """
        return DiveqDecoderOutput(audio_values=self._synthesized(self.latents(audio_codes)))

    def forward(self, input_values: Tensor, num_quantizers: int | None = None) -> DiveqOutput:
        """Encode, quantize and decode, with gradients for the input and for all that is
        trainable.
        """
        waves, _ = self._checked(input_values, None)
        count = self._count(num_quantizers)
        waves = F.pad(self._high_passed(waves), (0, -waves.shape[1] % self.hop_length))
        latents = self.model.encoder(waves[:, None])
        depth = torch.full((len(latents), latents.shape[2]), count, device=latents.device)
        quantized = self.model.quantizer(latents, depth, position_bits=0)
        audio_values = self._synthesized(quantized.latent)
        return DiveqOutput(
            audio_codes=quantized.codes[:, :count], audio_values=audio_values, latents=latents
        )

    def _high_passed(self, waves: Tensor) -> Tensor:
        """What `HighPass` makes of waves (batch, samples), as a convolution that has a gradient."""
        size = waves.shape[1] + len(self.high_pass_response)
        spectrum = torch.fft.rfft(self.high_pass_response.double(), size)
        filtered = torch.fft.irfft(torch.fft.rfft(waves.double(), size) * spectrum, size)
        return filtered[:, : waves.shape[1]].float()

    def _synthesized(self, latents: Tensor) -> Tensor:
        """The audio of a clip's quantized latents; the decoder's noise is that of the first frames
        of a stream.
        """
        noise = decoder_noise(0, latents.shape[2], self.config.noise_values)
        return self.model.decode_latent(latents, torch.from_numpy(noise)[None].to(latents.device))

    def _count(self, num_quantizers: int | None) -> int:
        count = self.num_quantizers if num_quantizers is None else num_quantizers
        if not 1 <= count <= self.num_quantizers:
            raise ConfigError(f"the model has 1 to {self.num_quantizers} codebooks, not {count}")
        return count

    def _checked(
        self, input_values: Tensor, padding_mask: Tensor | None
    ) -> tuple[Tensor, list[int]]:
        """Waves (batch, samples), and how many samples each has."""
        waves = (
            input_values[:, 0]
            if input_values.ndim == 3 and input_values.shape[1] == 1
            else input_values
        )
        if waves.ndim != 2 or not waves.is_floating_point():
            raise AudioError(
                "input_values are floats (batch, 1, samples) or (batch, samples), "
                f"not {input_values.dtype} {tuple(input_values.shape)}"
            )
        waves = waves.float()  # NumPy knows no bfloat16
        if padding_mask is None:
            return waves, [waves.shape[1]] * len(waves)
        mask = padding_mask.bool()
        if mask.shape != waves.shape or bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise AudioError(
                "padding_mask is (batch, samples), with ones in front and zeros behind a clip's end"
            )
        return waves, mask.sum(1).tolist()
