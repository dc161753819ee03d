"""DASB and whatever else takes a `Codec` of the package audiocodecs: the same methods, the same
shapes.

    from recipes.adapters.audiocodecs import DiveqAudioCodec

    codec = DiveqAudioCodec(sample_rate=16000, num_codebooks=8)
    toks = codec.sig_to_toks(sig)  # (batch, samples) -> (batch, frames, codebooks)
"""

from __future__ import annotations

import torch
from audiocodecs.codec import Codec  # pyright: ignore[reportMissingImports]
from torch import Tensor

from codec import DEFAULT_MODEL, ConfigError
from codec.torch_module import DiveqCodecModel

__all__ = ["DiveqAudioCodec"]


class DiveqAudioCodec(Codec):
    """Tokens are the codes of `codec.Codec.encode`; behind the end of a shorter clip, as its
    `length` says, they are -1.

    Features are what the encoder computes, quantized features what the tokens stand for, both
    (batch, frames, channels); `embs` has the codebooks (codebooks, codewords, channels).
    """

    def __init__(
        self,
        sample_rate: int,
        orig_sample_rate: int | None = None,
        mode: str = "reconstruct",
        num_codebooks: int = 8,
        model: str = DEFAULT_MODEL,
    ) -> None:
        loaded = DiveqCodecModel.from_pretrained(model)
        if orig_sample_rate not in (None, loaded.sampling_rate):
            raise ConfigError(
                f"the model {model} has {loaded.sampling_rate} Hz, not {orig_sample_rate}; leave "
                "orig_sample_rate out"
            )
        super().__init__(sample_rate, loaded.sampling_rate, mode)
        self.num_codebooks, self.vocab_size = num_codebooks, loaded.codebook_size
        self.model = loaded.requires_grad_(False)

    def embs(self) -> Tensor:
        stages = list(self.model.model.quantizer)[: self.num_codebooks]
        return torch.stack([stage.table(0) @ stage.directions() for stage in stages])

    def _sig_to_toks(self, sig: Tensor, length: Tensor) -> Tensor:
        ends = (sig.shape[1] * length).round()
        present = torch.arange(sig.shape[1], device=sig.device) < ends[:, None]
        return self.model.encode(sig, present, self.num_codebooks).audio_codes.movedim(1, 2)

    def _sig_to_feats(self, sig: Tensor, length: Tensor) -> Tensor:
        return self.model(sig, self.num_codebooks).latents.movedim(1, 2)

    def _sig_to_qfeats(self, sig: Tensor, length: Tensor) -> Tensor:
        return self._toks_to_qfeats(self._sig_to_toks(sig, length), length)

    def _toks_to_qfeats(self, toks: Tensor, length: Tensor) -> Tensor:
        return self.model.latents(toks.movedim(1, 2)).movedim(1, 2)

    def _toks_to_sig(self, toks: Tensor, length: Tensor) -> Tensor:
        return self.model.decode(toks.movedim(1, 2)).audio_values[:, 0]
