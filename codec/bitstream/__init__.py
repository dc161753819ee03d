"""The `.dvq` format, specified in FORMAT.md: codes to bytes and back. Knows numpy, not torch."""

from __future__ import annotations

from .depths import NONE
from .entropy import EntropyTables, StageTable
from .framing import RawPacket
from .header import StreamHeader
from .layout import StageLayout, default_packet_frames, find_bad_index
from .reader import Packet, StreamReader
from .recovery import Loss
from .tools import StreamInfo, cut, read_info, verify
from .writer import StreamWriter

__all__ = [
    "NONE",
    "EntropyTables",
    "Loss",
    "Packet",
    "RawPacket",
    "StageLayout",
    "StageTable",
    "StreamHeader",
    "StreamInfo",
    "StreamReader",
    "StreamWriter",
    "cut",
    "default_packet_frames",
    "find_bad_index",
    "read_info",
    "verify",
]
