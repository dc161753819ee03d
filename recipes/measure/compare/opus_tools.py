"""Opus by opus-tools, and the bits that its packets take without their Ogg container."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from codec.errors import AudioError
from codec.evaluation.signal import read_signal

from .peer import Coded, Peer
from .programs import require, run

KBPS = (6, 9, 12, 16, 24)
_OPTIONS = ("--quiet", "--speech", "--vbr", "--framesize", "20")
_HEADER_PACKETS = 2  # OpusHead and OpusTags (RFC 7845)
_PAGE_HEADER_BYTES = 27  # up to the table of lengths (RFC 3533)
_LONGEST_PIECE = 255


def opus_peers() -> list[Peer]:
    """Opus at all rates.

    Raises:
        ConfigError: opus-tools is not installed.
    """
    require(("opusenc", "opusdec"), "opus-tools")
    return [
        Peer(
            name=f"Opus {kbps} kbps",
            family="Opus",
            note="opusenc --speech --vbr, bits of the packets without Ogg, one thread, a process "
            "per clip",
            code=lambda wave, rate, kbps=kbps: _code(wave, rate, kbps),
        )
        for kbps in KBPS
    ]


def _code(wave: np.ndarray, sample_rate_hz: int, kbps: int) -> Coded:
    with TemporaryDirectory() as folder:
        source, coded, heard = (
            Path(folder) / name for name in ("source.wav", "coded.opus", "heard.wav")
        )
        soundfile.write(source, wave, sample_rate_hz, subtype="PCM_16")
        encode_seconds = run("opusenc", *_OPTIONS, "--bitrate", str(kbps), source, coded)
        decode_seconds = run("opusdec", "--quiet", "--rate", str(sample_rate_hz), coded, heard)
        decoded = read_signal(heard).wave[0]
        packets = ogg_packets(coded.read_bytes())[_HEADER_PACKETS:]
    return Coded(
        wave=decoded,
        bits=8 * sum(packets),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )


def ogg_packets(file: bytes) -> list[int]:
    """The length of each packet of an Ogg file with one stream, in bytes.

    A page lists the lengths of pieces; one of 255 bytes goes on in the next, on the next page if
    need be.

    Raises:
        AudioError: It is not such a file.
    """
    packets, length, place = [], 0, 0
    while place < len(file):
        table = place + _PAGE_HEADER_BYTES
        if file[place : place + 4] != b"OggS" or table > len(file):
            raise AudioError(f"byte {place} of the Ogg file begins no page")
        pieces = file[table : table + file[table - 1]]
        for piece in pieces:
            length += piece
            if piece < _LONGEST_PIECE:
                packets.append(length)
                length = 0
        place = table + len(pieces) + sum(pieces)
    return packets
