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

    The network takes the transform's frames, as many as complete a frame of codes: those before the
    stream's first that it asks for are silent.

    Attributes:
        latency_samples: from a frame's first sample to its codes.
    """

    def __init__(
        self, network: Network, config: ModelConfig, *, channels: int, at_once: int = 1
    ) -> None:
        layout = _streamable(config)
        layers = layout.encoder_layers
        self._hop, self._per_frame = layout.transform_hop, layout.frames_per_latent
        self._look_ahead = look_ahead(layers)
        self.latency_samples = (self._per_frame - 1 + self._look_ahead) * self._hop + self._hop // 2
        self._network, self._at_once = network, at_once
        self._stages = len(config.stages)
        self._state = _silent_state(layers, channels)
        # The first hop starts before the first sample, and the first call of the network ends with
        # the last hop that a frame of codes needs.
        before = -self._look_ahead % self._per_frame
        self._pending = np.zeros((channels, before * self._hop + self._hop // 2), np.float32)
        self._hops, self._samples = -before, 0

    def ready(self, samples: int) -> int:
        """Count the frames that the next `push`, of so many samples, codes."""
        count = self._wholly((self._pending.shape[1] + samples) // self._hop, self._at_once)
        before = self._hops - self._look_ahead
        return (max(before + count, 0) - max(before, 0)) // self._per_frame

    def push(self, wave: np.ndarray, stages: int | None = None) -> np.ndarray:
        """Take samples and return the codes of the frames that they complete, of the first `stages`
        or of all.
        """
        self._samples += wave.shape[1]
        return self._push(wave, _UNKNOWN, stages)

    def flush(self, stages: int | None = None) -> np.ndarray:
        """Return the codes of the remaining frames; the last one is filled with silence."""
        frames = -(-self._samples // (self._per_frame * self._hop)) * self._per_frame
        missing = (frames + self._look_ahead - self._hops) * self._hop - self._pending.shape[1]
        silence = np.zeros((len(self._pending), max(missing, 0) if frames else 0), np.float32)
        return self._push(silence, frames, stages)

    def _push(self, wave: np.ndarray, end: int, stages: int | None) -> np.ndarray:
        stages = self._stages if stages is None else stages
        wave = np.concatenate([self._pending, wave], axis=1)
        count = wave.shape[1] // self._hop
        count = self._wholly(count, self._at_once if end == _UNKNOWN else 1)
        hops, self._pending = wave[:, : count * self._hop], wave[:, count * self._hop :].copy()
        if not count:
            return np.zeros((len(wave), stages, 0), np.int32)
        hops = np.ascontiguousarray(hops.reshape(len(wave), count, self._hop))
        codes, self._state = self._network.encode_step(hops, self._state, self._hops, end, stages)
        before = max(self._look_ahead - self._hops, 0)  # frames that no stream has
        self._hops += count
        return codes[:, :, before // self._per_frame :]

    def _wholly(self, count: int, at_once: int) -> int:
        """Of so many more hops, those that complete `at_once` frames of codes."""
        hops = at_once * self._per_frame
        frames = self._hops + count - self._look_ahead
        return max(frames // hops * hops + self._look_ahead - self._hops, 0)


class FrameDecoder:
    """Codes (channels, stages, frames) → samples (channels, n) at the model's rate.

    Attributes:
        latency_samples: from a frame's codes to the last of its samples.
    """

    def __init__(self, network: Network, config: ModelConfig, *, channels: int) -> None:
        layout = _streamable(config)
        layers = layout.decoder_layers
        self._hop, self._per_frame = layout.transform_hop, layout.frames_per_latent
        self._look_ahead = look_ahead(layers)
        self.latency_samples = self._look_ahead * self._hop + self._hop // 2
        self._network, self._values = network, layout.noise_values_of_frame
        self._position_bits = [0] * len(config.stages)
        self._state = _silent_state(layers, channels)
        self._channels = channels
        self._frames = 0  # of the transform

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Take codes and return the samples that they complete."""
        return self._push(codes, _UNKNOWN)

    def flush(self) -> np.ndarray:
        """Return the remaining samples, up to the end of the last frame."""
        frames = self._frames
        if not frames:
            return np.zeros((self._channels, 0), np.float32)
        missing = min(frames * self._hop, self.latency_samples)
        more = -(-(self._look_ahead + 1) // self._per_frame)
        none = np.full((self._channels, len(self._position_bits), more), -1, np.int32)
        return self._push(none, frames)[:, :missing]

    def _push(self, codes: np.ndarray, end: int) -> np.ndarray:
        first, count = self._frames, codes.shape[2] * self._per_frame
        if not count:
            return np.zeros((self._channels, 0), np.float32)
        noise = self._noise(first - self._look_ahead, self._look_ahead + count)
        hops, self._state = self._network.decode_step(
            codes, noise, self._state, first, end, self._position_bits
        )
        self._frames += count
        wave = hops.reshape(self._channels, -1)
        start = self.latency_samples - first * self._hop  # of the first sample
        return wave[:, min(max(start, 0), wave.shape[1]) :]

    def _noise(self, first: int, count: int) -> np.ndarray:
        """The noise of `count` frames of the transform; zero before the stream's first."""
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
