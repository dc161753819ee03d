"""What is timed in batches: from the product's whole path down to the network alone, for ours and
for peers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from codec import Codec, Encoded
from codec.backends.torch_backend import TorchBackend
from codec.checkpoint import Checkpoint

from ..compare import neural
from .candidates import OURS

Span = Literal["product", "host", "network"]
"""`product`: the public verbs; `host`: a network, with the ways from and to host memory; `network`:
itself alone.
"""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way of coding a batch of clips of one length.

    Attributes:
        codec: As in the table.
        weights_mb: What its weights take on the device, 10⁶ bytes.
        prepare: From waves (clips, samples) on the host to what `encode` takes.
        encode: To whatever `decode` takes.
    """

    codec: str
    span: Span
    sample_rate_hz: int
    weights_mb: float
    prepare: Callable[[np.ndarray], Any]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], object]


def our_routes(checkpoint: Checkpoint, name: str, device: str) -> list[Route]:
    """The product, its network from host to host, and its network alone; with all stages."""
    backend = TorchBackend(checkpoint, device)
    model, config = backend.model, checkpoint.config
    bits, hop = [0] * len(config.stages), config.hop

    def route(span: Span, prepare: Callable, encode: Callable, decode: Callable) -> Route:
        return Route(
            codec=f"{OURS} {name}",
            span=span,
            sample_rate_hz=config.sample_rate_hz,
            weights_mb=_megabytes(model),
            prepare=prepare,
            encode=encode,
            decode=decode,
        )

    return [
        _our_product(Codec(checkpoint, name=name, device=device, backend="torch"), route),
        route(
            "host",
            lambda waves: whole_frames(waves, hop),
            lambda waves: backend.encode(waves, bits),
            lambda codes: backend.decode(codes, bits),
        ),
        route(
            "network",
            lambda waves: torch.from_numpy(whole_frames(waves, hop)).to(device),
            lambda waves: model.encode(waves, bits),
            lambda codes: model.decode(codes, bits),
        ),
    ]


def _our_product(codec: Codec, route: Callable[..., Route]) -> Route:
    """All clips are one batch: `batch_seconds` just holds them."""
    rate, frame_rate = codec.config.sample_rate_hz, codec.config.frame_rate_hz

    def encode(waves: Sequence[np.ndarray]) -> list[Encoded]:
        frames = sum(-(-len(wave) // codec.config.hop) for wave in waves)
        return codec.encode_batch(
            waves, sample_rate_hz=rate, batch_seconds=(frames + 0.5) / frame_rate
        )

    def decode(clips: Sequence[Encoded]) -> object:
        frames = sum(clip.codes.shape[-1] for clip in clips)
        return codec.decode_batch(clips, batch_seconds=(frames + 0.5) / frame_rate)

    return route("product", list, encode, decode)


def peer_routes(layout: neural.Layout, device: str) -> list[Route]:
    """A peer's network with random weights, from host to host and alone.

    Raises:
        ConfigError: Its package is not installed.
    """
    torch.manual_seed(0)
    model = neural.load(layout, None)
    model.module.to(device)

    def encode(waves: Tensor) -> neural.Codes:
        return model.encode(waves, layout.timed_codebooks)

    def route(span: Span, prepare: Callable, encode: Callable, decode: Callable) -> Route:
        return Route(
            codec=layout.family,
            span=span,
            sample_rate_hz=layout.sample_rate_hz,
            weights_mb=_megabytes(model.module),
            prepare=prepare,
            encode=encode,
            decode=decode,
        )

    return [
        route(
            "host",
            lambda waves: torch.from_numpy(whole_frames(waves, layout.hop)),
            lambda waves: [codes.cpu() for codes in encode(waves.to(device))],
            lambda codes: model.decode([part.to(device) for part in codes]).cpu(),
        ),
        route(
            "network",
            lambda waves: torch.from_numpy(whole_frames(waves, layout.hop)).to(device),
            encode,
            model.decode,
        ),
    ]


def whole_frames(waves: np.ndarray, hop: int) -> np.ndarray:
    """(clips, samples) → (clips, 1, frames·hop), what is left over cut off."""
    return np.ascontiguousarray(waves[:, None, : waves.shape[1] // hop * hop])


def _megabytes(module: nn.Module) -> float:
    return (
        sum(
            part.numel() * part.element_size() for part in (*module.parameters(), *module.buffers())
        )
        / 1e6
    )
