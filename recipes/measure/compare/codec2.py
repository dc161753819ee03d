"""Codec2 by its own programs: raw 16-bit audio at 8 kHz to frames without any header."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .peer import Coded, Peer
from .programs import require, run

FRAME_SAMPLES = {3200: 160, 1200: 320}
"""Samples of a frame by the mode, which is named for its bits per second."""

_RATE_HZ = 8_000
_FULL_SCALE = 32_768


def codec2_peers() -> list[Peer]:
    """Codec2 at all rates.

    Raises:
        ConfigError: Its programs are not installed.
    """
    require(("c2enc", "c2dec"), "codec2")
    return [
        Peer(
            name=f"Codec2 {mode} bps",
            family="Codec2",
            note="8 kHz, bits of the frames, one thread, a process per clip",
            sample_rate_hz=_RATE_HZ,
            code=lambda wave, _, mode=mode: _code(wave, mode),
        )
        for mode in FRAME_SAMPLES
    ]


def _code(wave: np.ndarray, mode: int) -> Coded:
    with TemporaryDirectory() as folder:
        source, coded, heard = (
            Path(folder) / name for name in ("source.raw", "coded.bin", "heard.raw")
        )
        whole = np.pad(
            wave, (0, -len(wave) % FRAME_SAMPLES[mode])
        )  # c2enc drops what fills no frame
        samples = np.clip(np.round(_FULL_SCALE * whole), -_FULL_SCALE, _FULL_SCALE - 1)
        source.write_bytes(samples.astype("<i2").tobytes())
        encode_seconds = run("c2enc", str(mode), source, coded)
        decode_seconds = run("c2dec", str(mode), coded, heard)
        decoded = (
            np.frombuffer(heard.read_bytes(), dtype="<i2")[: len(wave)].astype(np.float32)
            / _FULL_SCALE
        )
        bits = 8 * coded.stat().st_size
    return Coded(
        wave=decoded, bits=bits, encode_seconds=encode_seconds, decode_seconds=decode_seconds
    )
