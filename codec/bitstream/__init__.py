"""The `.dvq` format, specified in FORMAT.md: codes to bytes and back. Knows numpy, not torch."""

from __future__ import annotations

from .entropy import EntropyTables, StageTable
from .entropy_network import NetworkLayer, StageNetwork
from .fitting import fit_tables
from .header import StreamHeader
from .layout import StageLayout, default_packet_frames, find_bad_index
from .live_packets import MAX_COPIES, MAX_LIVE_FRAMES, SEQUENCE_NUMBERS, LiveFormat, LivePacket
from .live_tools import LiveRecorder, live_packets, recording_frames
from .packet_run import RawPacket
from .reader import Packet, StreamReader
from .recovery import Loss
from .stage_counts import GROUP_FRAMES, NONE, depth_bits
from .tools import StreamInfo, cut, read_info, verify
from .writer import StreamWriter

__all__ = [
    "GROUP_FRAMES",
    "MAX_COPIES",
    "MAX_LIVE_FRAMES",
    "NONE",
    "SEQUENCE_NUMBERS",
    "EntropyTables",
    "LiveFormat",
    "LivePacket",
    "LiveRecorder",
    "Loss",
    "NetworkLayer",
    "Packet",
    "RawPacket",
    "StageLayout",
    "StageNetwork",
    "StageTable",
    "StreamHeader",
    "StreamInfo",
    "StreamReader",
    "StreamWriter",
    "cut",
    "default_packet_frames",
    "depth_bits",
    "find_bad_index",
    "fit_tables",
    "live_packets",
    "read_info",
    "recording_frames",
    "verify",
]
