"""The transform layout on a stream, some frames at a time, with the result of one pass over all of
it. Frames are those of the transform, of which each latent has `frames_per_latent`.

Each layer that sees several frames keeps the last of its input, as many as it sees besides one. Its
result for a frame comes when the frames that it looks ahead have come, so that the numbers of
frames fall behind from layer to layer:

    input of a layer:     | kept from before |  new frames  |
    result:                       |  as many frames  |  after |

Frames before the stream's first and behind its last are zero in front of each layer, as its padding
is in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..layouts.config import LOST
from ..layouts.receptive_field import Layer, look_ahead
from ..layouts.transform.excitation import Excitation
from ..layouts.transform.transform_network import Block, TransformDecoder, TransformEncoder
from .codec_model import CodecModel

if TYPE_CHECKING:
    from jaxtyping import Float, Int

State = list[Tensor]


class _Step:
    """The new frames on their way through the layers: `number` is that of the first one where they
    are now.
    """

    def __init__(self, layers: list[Layer], state: Sequence[Tensor], first: int, end: int) -> None:
        self._layers = iter(layers)
        self._before = iter(state)
        self._end = end
        self.number = first
        self.state: State = []

    def window(self, x: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch padded width"]:
        """Return the input window of the next layer: the frames that it kept, and the new ones."""
        layer = next(self._layers)
        window = torch.cat([next(self._before), x], dim=1)
        self.state.append(window[:, window.shape[1] - layer.before - layer.after :])
        self.number -= layer.after
        return window

    def numbers(self, x: Float[Tensor, "batch frames width"]) -> Int[Tensor, "frames 1"]:
        """The frames' numbers."""
        return torch.arange(self.number, self.number + x.shape[1], device=x.device)[:, None]

    def inside(self, x: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch frames width"]:
        """Set frames outside of the stream to zero."""
        numbers = self.numbers(x)
        return torch.where((numbers >= 0) & (numbers < self._end), x, 0)

    def level_power(
        self, power: Float[Tensor, "batch padded bands"], after: int
    ) -> Float[Tensor, "batch frames bands"]:
        """Means over the frame before, the frame and `after` frames; the stream's ends count in
        place of others.
        """
        count = power.shape[1] - 1 - after
        own = power[:, 1 : 1 + count]
        numbers = self.numbers(own)
        total = own + torch.where(numbers == 0, own, power[:, :count])
        if after:
            total = total + torch.where(numbers == self._end - 1, own, power[:, 2:])
        return total / (2 + after)


def encode_step(
    model: CodecModel,
    hops: Float[Tensor, "batch frames hop"],
    state: Sequence[Tensor],
    first: int,
    end: int,
    stages: int,
) -> tuple[Int[Tensor, "batch stages latents"], State]:
    """Codewords of the first `stages`, of as many frames as there are hops, from `first` less the
    encoder's look-ahead on; and the new state. Both numbers are multiples of a latent's frames.

    The stream has `end` frames, as far as it is known.
    """
    encoder, layout = model.encoder, model.config.transform
    assert isinstance(encoder, TransformEncoder)
    assert layout is not None
    step = _Step(layout.encoder_layers, state, first, end)
    window = step.window(hops)
    coefficients = (
        torch.cat([window[:, :-1], window[:, 1:]], dim=-1) @ encoder.analysis.basis[:, 0].T
    )
    window = step.window(coefficients)
    power = step.level_power(encoder.analysis.bands.mean(window.square()), layout.level_look_ahead)
    x = encoder.entry(encoder.analysis.features(window[:, 1 : 1 + power.shape[1]], power))
    for block in encoder.blocks:
        assert isinstance(block, Block)
        x = block.on_window(step.window(step.inside(x)))
    return model.quantizer.encode(encoder.leave(x), [0] * stages), step.state


def decode_step(
    model: CodecModel,
    codes: Int[Tensor, "batch stages latents"],
    noise: Float[Tensor, "1 padded values"],
    state: Sequence[Tensor],
    first: int,
    end: int,
    position_bits: Sequence[int],
) -> tuple[Float[Tensor, "batch frames hop"], State]:
    """As many hops of the waveform as the latents have frames, from hop `first` less the look-ahead
    on; and the new state.

    `noise` is that of the frames from `first` less the look-ahead on.
    """
    decoder, layout = model.decoder, model.config.transform
    assert isinstance(decoder, TransformDecoder)
    assert layout is not None
    layers = layout.decoder_layers
    step = _Step(layers, state, first, end)
    start = first - look_ahead(layers)
    lost = codes[:, 0] == LOST if layout.conceals else None
    x = decoder.enter(model.quantizer.decode(codes.clamp_min(-1), position_bits), lost)

    def of_frames_here() -> Tensor:
        here = step.number - start
        return noise[:, here : here + x.shape[1]]

    for number, block in enumerate(decoder.blocks):
        assert isinstance(block, Block)
        x = decoder.add_noise(number, x, of_frames_here())
        x = block.on_window(step.window(step.inside(x)))
    features = decoder.synthesis.fill(decoder.exit(x), of_frames_here())
    if decoder.excitation is not None:
        coefficients = step.inside(decoder.synthesis.coefficients(features))
        features = _excite(decoder.excitation, step, x, features, coefficients)
    coefficients = step.inside(decoder.synthesis.coefficients(features))
    begun, rest = (coefficients @ decoder.synthesis.basis).chunk(2, dim=-1)
    return begun + step.window(rest)[:, :-1], step.state


def _excite(
    excitation: Excitation,
    step: _Step,
    x: Float[Tensor, "batch frames width"],
    features: Float[Tensor, "batch frames features"],
    coefficients: Float[Tensor, "batch frames hop"],
) -> Float[Tensor, "batch frames features"]:
    """`Excitation.forward`: features of the frames whose next hop is there, one behind those that
    came.
    """
    begun, rest = excitation.spans(coefficients).chunk(2, dim=-1)
    rectified = (begun + step.window(rest)[:, :-1]).abs()
    gates = excitation.gates(x)
    parts = [rectified, features, gates]
    window = step.window(torch.cat(parts, dim=-1))
    rectified, features, gates = window.split([part.shape[-1] for part in parts], dim=-1)
    return excitation.mix(features[:, :-1], gates[:, :-1], rectified)
