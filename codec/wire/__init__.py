"""Live packets over RTP, without sockets or clocks: the caller provides datagrams and the time."""

from __future__ import annotations

from .receiver import ReceiverStatistics, RtpReceiver
from .sender import RtpSender, SenderStatistics

__all__ = ["ReceiverStatistics", "RtpReceiver", "RtpSender", "SenderStatistics"]
