"""Runs a network on a stream as it comes, some frames at a time: samples to codes and codes to
samples.

The result is that of one pass over the whole stream. All that is remembered stands in arrays that
are never changed in place, so that `copy.copy` makes a second coder that goes on like the first.
"""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError
from ..layouts.config import ModelConfig
from ..layouts.noise import decoder_noise
from ..layouts.receptive_field import Layer, look_ahead
from ..layouts.transform.transform_layout import TransformLayout
from .runner import Arrays, Network

_UNKNOWN = 1 << 62  # frames of a stream that goes on


class FrameEncoder:
    """Samples (channels, n) at the model's rate → codes (channels, stages, frames).

    Frames are computed `at_once`, when the last of so many can be: the weights, which take longer
    to read than to multiply, are then read once for all of them.
    """

    def __init__(
        self, network: Network, config: ModelConfig, *, channels: int, at_once: int = 1
    ) -> None:
        layers = _streamable(config).encoder_layers
        self.look_ahead = look_ahead(layers)
        self._network, self._hop, self._at_once = network, config.hop, at_once
        self._position_bits = [0] * len(config.stages)
        self._state = _silent_state(layers, channels)
        self._pending = np.zeros(
            (channels, config.hop // 2), np.float32
        )  # the first hop starts before the first sample
        self._hops = self._samples = 0

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Take samples and return the codes of the frames that they complete."""
        self._samples += wave.shape[1]
        return self._push(wave, _UNKNOWN)

    def flush(self) -> np.ndarray:
        """Return the codes of the remaining frames; the last one is filled with silence."""
        frames = -(-self._samples // self._hop)
        missing = (frames + self.look_ahead - self._hops) * self._hop - self._pending.shape[1]
        silence = np.zeros((len(self._pending), max(missing, 0) if frames else 0), np.float32)
        return self._push(silence, frames)

    def _push(self, wave: np.ndarray, end: int) -> np.ndarray:
        wave = np.concatenate([self._pending, wave], axis=1)
        count = wave.shape[1] // self._hop
        if end == _UNKNOWN:
            count = self._wholly(count)
        hops, self._pending = wave[:, : count * self._hop], wave[:, count * self._hop :].copy()
        if not count:
            return np.zeros((len(wave), len(self._position_bits), 0), np.int32)
        hops = np.ascontiguousarray(hops.reshape(len(wave), count, self._hop))
        codes, self._state = self._network.encode_step(
            hops, self._state, self._hops, end, self._position_bits
        )
        before = max(self.look_ahead - self._hops, 0)  # frames that no stream has
        self._hops += count
        return codes[:, :, before:]

    def _wholly(self, count: int) -> int:
        """Of so many more hops, those that complete `at_once` frames."""
        frames = self._hops + count - self.look_ahead
        return max(frames // self._at_once * self._at_once + self.look_ahead - self._hops, 0)


class FrameDecoder:
    """Codes (channels, stages, frames) → samples (channels, n) at the model's rate."""

    def __init__(self, network: Network, config: ModelConfig, *, channels: int) -> None:
        layers = _streamable(config).decoder_layers
        self.look_ahead = look_ahead(layers)
        self._network, self._hop, self._values = network, config.hop, config.noise_values
        self._position_bits = [0] * len(config.stages)
        self._state = _silent_state(layers, channels)
        self._channels = channels
        self._frames = 0

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Take codes and return the samples that they complete."""
        return self._push(codes, _UNKNOWN)

    def flush(self) -> np.ndarray:
        """Return the remaining samples, up to the end of the last frame."""
        frames = self._frames
        if not frames:
            return np.zeros((self._channels, 0), np.float32)
        wave = self._push(
            np.full((self._channels, len(self._position_bits), self.look_ahead + 1), -1, np.int32),
            frames,
        )
        return wave[:, : wave.shape[1] - self._hop // 2]

    def _push(self, codes: np.ndarray, end: int) -> np.ndarray:
        first, count = self._frames, codes.shape[2]
        if not count:
            return np.zeros((self._channels, 0), np.float32)
        noise = self._noise(first - self.look_ahead, self.look_ahead + count)
        hops, self._state = self._network.decode_step(
            codes, noise, self._state, first, end, self._position_bits
        )
        self._frames += count
        wave = hops.reshape(self._channels, -1)
        start = (self.look_ahead - first) * self._hop + self._hop // 2  # of the first sample
        return wave[:, min(max(start, 0), wave.shape[1]) :]

    def _noise(self, first: int, count: int) -> np.ndarray:
        """The noise of `count` frames from `first` on; zero for those before the stream's first."""
        before = min(max(-first, 0), count)
        noise = decoder_noise(first + before, count - before, self._values)
        return np.concatenate([np.zeros((before, self._values), np.float32), noise])


def _streamable(config: ModelConfig) -> TransformLayout:
    if config.transform is None:
        raise ConfigError(
            "live coding takes a model of the transform layout, and this one has the filterbank's"
        )
    return config.transform


def _silent_state(layers: list[Layer], channels: int) -> Arrays:
    return tuple(
        np.zeros((channels, layer.before + layer.after, layer.width), np.float32)
        for layer in layers
    )
