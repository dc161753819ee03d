"""Opus packet by packet through libopus, with its own concealment and forward error correction."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from codec import ConfigError

_RATE_HZ = 16_000
_VOIP = 2048
_SET_BITRATE, _SET_FEC, _SET_LOSS, _GET_LOOKAHEAD = 4002, 4012, 4014, 4027
_LARGEST_PACKET = 1500


class Opus:
    """Speech at 16 kHz in packets of `packet_ms` (20, 40, 60), coded for a network that loses so
    much.

    Raises:
        ConfigError: libopus is not installed.
    """

    def __init__(self, *, kbps: float, packet_ms: int, loss: float) -> None:
        self._library = _library()
        self._samples = _RATE_HZ * packet_ms // 1000
        self._encoder = _made(self._library.opus_encoder_create, _RATE_HZ, 1, _VOIP)
        self._decoder = _made(self._library.opus_decoder_create, _RATE_HZ, 1)
        for setting, value in (
            (_SET_BITRATE, round(1000 * kbps)),
            (_SET_FEC, 1),
            (_SET_LOSS, round(100 * loss)),
        ):
            self._library.opus_encoder_ctl(self._encoder, setting, ctypes.c_int(value))
        delay = ctypes.c_int()
        self._library.opus_encoder_ctl(self._encoder, _GET_LOOKAHEAD, ctypes.byref(delay))
        self._delay = delay.value

    def encode(self, wave: np.ndarray) -> list[bytes]:
        """The packets of a clip (samples,)."""
        padded = np.pad(wave, (0, -(len(wave) + self._delay) % self._samples + self._delay)).astype(
            np.float32
        )
        packets, out = [], ctypes.create_string_buffer(_LARGEST_PACKET)
        for start in range(0, len(padded), self._samples):
            block = np.ascontiguousarray(padded[start : start + self._samples])
            size = self._library.opus_encode_float(
                self._encoder, _pointer(block), self._samples, out, len(out)
            )
            packets.append(out.raw[:size])
        return packets

    def decode(self, packets: Sequence[bytes], lost: np.ndarray, samples: int) -> np.ndarray:
        """The clip of so many samples; of a lost packet what the next one holds of it, or what Opus
        makes up.
        """
        waves = []
        for number, packet in enumerate(packets):
            if not lost[number]:
                waves.append(self._decode(packet, is_copy=False))
            elif number + 1 < len(packets) and not lost[number + 1]:
                waves.append(self._decode(packets[number + 1], is_copy=True))
            else:
                waves.append(self._decode(None, is_copy=False))
        return np.concatenate(waves)[self._delay : self._delay + samples]

    def _decode(self, packet: bytes | None, *, is_copy: bool) -> np.ndarray:
        out = np.zeros(self._samples, np.float32)
        size = 0 if packet is None else len(packet)
        made = self._library.opus_decode_float(
            self._decoder, packet, size, _pointer(out), self._samples, int(is_copy)
        )
        assert made == self._samples
        return out


def _library() -> Any:
    name = ctypes.util.find_library("opus")
    if name is None:
        raise ConfigError("libopus is not installed; on Debian: apt-get install libopus0")
    library = ctypes.CDLL(name)
    library.opus_encoder_create.restype = library.opus_decoder_create.restype = ctypes.c_void_p
    return library


def _made(create: Any, *arguments: int) -> ctypes.c_void_p:
    error = ctypes.c_int()
    made = create(*arguments, ctypes.byref(error))
    assert error.value == 0
    return ctypes.c_void_p(made)


def _pointer(array: np.ndarray) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
