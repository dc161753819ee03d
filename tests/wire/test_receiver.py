"""Sender and receiver over networks that are made up, with a clock that is."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import NONE, LiveFormat, LivePacket, StageLayout
from codec.layouts.config import LOST
from codec.wire.receiver import RtpReceiver, _SequenceLog
from codec.wire.rtp import RtpPacket
from codec.wire.sender import RtpSender

STAGES = (StageLayout(10),) * 2
LIVE = LiveFormat(fingerprint=b"finger", stages=STAGES)
HOP, CLOCK_HZ, FRAME = 320, 16_000, 0.02
HOME = ("127.0.0.1", 5004)


def frame_codes(number, depth=2):
    """A frame that tells its number."""
    codes = np.array([number % 1024, number // 1024]).reshape(1, 2, 1)
    return np.where(np.arange(2)[:, None] < depth, codes, NONE)


def number_of(codes):
    return codes[0, 0, 0] + 1024 * codes[0, 1, 0]


@dataclass
class Network:
    """Datagrams on their way: each is given the times at which it comes."""

    frames_per_packet: int = 3
    silent: tuple[int, int] = (0, 0)  # frames
    copies: int = 0
    leave_out_silence: bool = False

    def run(self, seconds, arrivals, *, receiver=None):
        """`arrivals(packet number, time sent)` are times; returns what was played, tick by tick,
        and the receiver.
        """
        sender = RtpSender(clock_hz=CLOCK_HZ, leave_out_silence=self.leave_out_silence)
        receiver = receiver or RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
        events, packets, length = [], [], self.frames_per_packet
        for index in range(int(seconds / FRAME) // length):
            first = index * length
            depth = 0 if self.silent[0] <= first < self.silent[1] else 2
            codes = np.concatenate([frame_codes(first + k, depth) for k in range(length)], axis=2)
            copies = tuple(packets[-1 : -1 - self.copies : -1])
            packets.append(codes)
            packet = LIVE.pack(LivePacket(sequence=index % 128, codes=codes, copies=copies))
            datagram = sender.wrap(packet, samples=length * HOP, is_silent=depth == 0)
            sent = (first + length) * FRAME
            if datagram is not None:
                for at in arrivals(index, sent):
                    heapq.heappush(events, (at, len(events), datagram))
        played, now = [], 0.0
        while now < seconds + 1:
            while events and events[0][0] <= now:
                at, _, datagram = heapq.heappop(events)
                receiver.receive(datagram, HOME, at)
            played.append(receiver.pull(now))
            now += FRAME
        return played, receiver


def numbers(played):
    """Frame numbers, None where a frame was made up; without what was played before and after the
    stream.
    """
    made = [
        None if (codes == LOST).all() else int(number_of(codes))
        for codes in played
        if codes is not None
    ]
    while made and made[-1] is None:
        made.pop()
    return made


def test_a_quiet_network_plays_every_frame_once():
    played, receiver = Network().run(6, lambda _, sent: [sent + 0.01])
    assert numbers(played) == list(range(300))
    statistics = receiver.statistics()
    assert (statistics.packets, statistics.lost, statistics.late, statistics.malformed) == (
        100,
        0,
        0,
        0,
    )
    assert statistics.jitter_seconds == pytest.approx(0, abs=1e-9)


def test_reordered_and_doubled_packets_change_nothing():
    def arrivals(index, sent):
        return [sent + (0.09 if index % 4 == 1 else 0.01), sent + 0.1]

    played, receiver = Network().run(10, arrivals)
    made = numbers(played)
    settled = made.index(50)
    assert made[settled:] == list(range(50, 498))
    statistics = receiver.statistics()
    assert (statistics.packets, statistics.duplicate, statistics.lost) == (166, 166, 0)
    assert statistics.reordered > 30


def test_lost_packets_are_made_up_in_their_place():
    played, receiver = Network().run(6, lambda index, sent: [] if index in (20, 21, 50) else [sent])
    expected = [None if n // 3 in (20, 21, 50) else n for n in range(300)]
    assert numbers(played) == expected
    assert receiver.statistics().lost == 3


def test_the_delay_adapts_to_copies_so_that_they_fill_the_place_of_lost_packets():
    rng = np.random.default_rng(5)
    lost = set(np.flatnonzero(rng.random(500) < 0.2)) - {0}
    played, receiver = Network(copies=2).run(
        30, lambda index, sent: [] if index in lost else [sent]
    )
    made = numbers(played)
    gone = [n for n in lost if {n, n + 1, n + 2} <= lost]
    assert made[made.index(600) :].count(None) <= 3 * len(gone) + 3
    statistics = receiver.statistics()
    assert statistics.lost == len(lost)
    assert statistics.filled > 3 * 0.8 * (len(lost) - len(gone))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.08))
def test_the_delay_adapts_so_that_few_frames_come_late(seed, jitter):
    rng = np.random.default_rng(seed)
    played, receiver = Network().run(30, lambda _, sent: [sent + jitter * rng.random()])
    made = numbers(played)
    late_half = made[len(made) // 2 :]
    assert late_half.count(None) <= 0.04 * len(late_half)
    real = [n for n in made if n is not None]
    assert real == sorted(set(real))
    assert receiver.statistics().delay_seconds <= jitter + 3.5 * FRAME


def test_the_delay_shrinks_in_a_pause():
    def arrivals(index, sent):
        return [sent + (0.2 if index < 40 and index % 3 == 0 else 0.0)]

    network = Network(silent=(700, 800))
    _, receiver = network.run(30, arrivals)
    statistics = receiver.statistics()
    assert statistics.grown >= 5
    assert statistics.shrunk >= 5
    assert statistics.delay_seconds <= 0.06


def test_silence_that_is_left_out_is_played_as_silence():
    network = Network(silent=(90, 150), leave_out_silence=True)
    played, receiver = network.run(6, lambda _, sent: [sent])
    heard = [codes for codes in played if codes is not None]
    assert sum((codes == NONE).all() for codes in heard[:300]) == 60
    statistics = receiver.statistics()
    assert statistics.packets < 100 - 15
    assert statistics.lost == 0
    assert statistics.concealed - sum(codes is not None for codes in played) + 300 == 0


def test_numbers_go_on_past_their_ends():
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    played = []
    for index in range(200):
        packet = LIVE.pack(LivePacket(sequence=index % 128, codes=frame_codes(index)))
        rtp = RtpPacket(
            sequence=(65_500 + index) % (1 << 16),
            timestamp=(2**32 - 50 * HOP + index * HOP) % (1 << 32),
            source=1,
            payload=packet,
        )
        receiver.receive(rtp.to_bytes(), HOME, index * FRAME)
        played.append(receiver.pull(index * FRAME))
    assert numbers(played) == list(range(199))
    assert receiver.statistics().packets == 200


def test_what_is_malformed_or_foreign_is_counted_and_nothing_else():
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    sender, other = RtpSender(clock_hz=CLOCK_HZ), RtpSender(clock_hz=CLOCK_HZ)
    packet = LIVE.pack(LivePacket(sequence=0, codes=frame_codes(1)))
    receiver.receive(other.bye(), HOME, 0.0)
    first, second = sender.wrap(packet, samples=HOP), sender.wrap(packet, samples=HOP)
    receiver.receive(first, HOME, 0.0)
    for datagram in (
        b"",
        b"hello",
        second[:16],
        second[:-1] + bytes([second[-1] ^ 1]),
        b"\x80\x00" + second[2:],
    ):
        receiver.receive(datagram, HOME, 0.0)
    jumped = RtpPacket.from_bytes(second)
    for timestamp in (jumped.timestamp + 1, jumped.timestamp + HOP * (1 << 20)):
        bad = RtpPacket(
            sequence=jumped.sequence,
            timestamp=timestamp % (1 << 32),
            source=sender.source,
            payload=packet,
        )
        receiver.receive(bad.to_bytes(), HOME, 0.0)
    receiver.receive(second, ("127.0.0.1", 7), 0.0)
    receiver.receive(other.wrap(packet, samples=HOP), HOME, 0.0)
    receiver.receive(sender.bye(), ("127.0.0.1", 7), 0.0)
    receiver.receive(other.bye(), HOME, 0.0)
    assert not receiver.has_ended
    statistics = receiver.statistics()
    assert (statistics.packets, statistics.malformed, statistics.foreign) == (1, 7, 4)
    receiver.receive(sender.bye(), HOME, 0.0)
    assert receiver.has_ended


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_datagram_is_fatal(datagrams):
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    for number, datagram in enumerate(datagrams):
        receiver.receive(datagram, HOME, number * FRAME)
        receiver.pull(number * FRAME)


@pytest.mark.parametrize("samples", [0, HOP])
def test_a_flood_is_not_kept(samples):
    """Packets for one time, and for ever later ones, all at once."""
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    sender = RtpSender(clock_hz=CLOCK_HZ)
    for number in range(2500):
        packet = LIVE.pack(LivePacket(sequence=number % 128, codes=frame_codes(number), copies=()))
        receiver.receive(sender.wrap(packet, samples=samples, is_silent=False), HOME, 0.0)
    assert receiver.waiting_frames == (30 / FRAME + 1 if samples else 1)
    assert len(receiver._buffer._arrivals._arrivals) == (1501 if samples else 2000)
    assert receiver.statistics().malformed == (999 if samples else 0)


@pytest.mark.parametrize("drift", [-400e-6, 400e-6])
def test_clocks_that_drift_keep_the_delay_and_lose_nothing(drift):
    """Ten minutes; the network has jitter, and a pause comes every ten seconds."""
    rng = np.random.default_rng(0)
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    sender = RtpSender(clock_hz=CLOCK_HZ)
    speech, pause = (
        LIVE.pack(LivePacket(sequence=0, codes=frame_codes(1, depth).repeat(6, 2)))
        for depth in (2, 0)
    )
    coming, sent, delays, waiting = [], 0, [], []
    for tick in range(30_000):
        now = FRAME * tick
        while (at := 6 * FRAME * sent * (1 + drift)) <= now:
            datagram = sender.wrap(pause if sent % 85 < 5 else speech, samples=6 * HOP)
            heapq.heappush(coming, (at + 0.04 * rng.random(), sent, datagram))
            sent += 1
        while coming and coming[0][0] <= now:
            at, _, datagram = heapq.heappop(coming)
            receiver.receive(datagram, HOME, at)
        receiver.pull(now)
        delays.append(receiver.statistics().delay_seconds)
        waiting.append(receiver.waiting_frames)
    statistics = receiver.statistics()
    assert statistics.lost == 0
    assert max(delays[500:]) < 0.1
    assert max(waiting) <= 12
    assert statistics.grown - statistics.shrunk == pytest.approx(drift * 30_000, abs=3)
    assert statistics.concealed < 0.01 * 30_000


def test_asked_too_late_it_tells_by_how_much():
    """A decoder that is ever slower: frames stay in order, and the delay is that of the clock."""
    receiver, behind = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ), 0.0
    sender = RtpSender(clock_hz=CLOCK_HZ)
    played, due = [], 0.0
    for number in range(100):
        packet = LIVE.pack(LivePacket(sequence=number % 128, codes=frame_codes(number), copies=()))
        datagram = sender.wrap(packet, samples=HOP, is_silent=False)
        receiver.receive(datagram, HOME, due + behind)
        played.append(receiver.pull(due, behind_seconds=behind))
        due, behind = due + FRAME, behind + 0.1
    statistics = receiver.statistics()
    assert statistics.behind_seconds == pytest.approx(9.9)
    assert statistics.delay_seconds >= 0
    assert statistics.concealed <= 2
    heard = [number_of(codes) for codes in played if codes is not None and codes[0, 0, 0] >= 0]
    assert heard == list(range(heard[0], heard[0] + len(heard)))


def stream(frames, *, first=0, copies=0):
    """A sender, and its datagrams of three frames each from frame `first` on."""
    sender, packets, datagrams = RtpSender(clock_hz=CLOCK_HZ), [], []
    for index in range(frames // 3):
        codes = np.concatenate([frame_codes(first + 3 * index + k) for k in range(3)], axis=2)
        of_before = tuple(packets[-1 : -1 - copies : -1])
        packets.append(codes)
        packet = LIVE.pack(LivePacket(sequence=index % 128, codes=codes, copies=of_before))
        datagrams.append(sender.wrap(packet, samples=3 * HOP, is_silent=False))
    return sender, datagrams


@pytest.mark.parametrize("missed", [1, 20])
def test_joined_later_it_ends_with_the_sender(missed):
    """Copies of what came before the first packet are not waited for."""
    sender, datagrams = stream(90, copies=2)
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    played, ticks = [], 0
    for datagram in datagrams[missed:]:
        receiver.receive(datagram, HOME, ticks * FRAME)
        for _ in range(3):
            played.append(receiver.pull(ticks * FRAME))
            ticks += 1
    receiver.receive(sender.bye(), HOME, ticks * FRAME)
    while receiver.waiting_frames:
        played.append(receiver.pull(ticks * FRAME))
        ticks += 1
        assert ticks < 100
    heard = [number_of(codes) for codes in played if codes is not None and codes[0, 0, 0] >= 0]
    assert heard == list(range(3 * missed, 90))


def test_after_a_long_stall_it_begins_anew():
    """All packets are two seconds later than before, more than the greatest delay."""
    _, datagrams = stream(600)
    receiver = RtpReceiver(LIVE, hop=HOP, clock_hz=CLOCK_HZ)
    arrivals = [(0.06 * (i + 1) + (2.0 if i >= 100 else 0.0), d) for i, d in enumerate(datagrams)]
    played = []
    for tick in range(740):
        while arrivals and arrivals[0][0] <= tick * FRAME:
            at, datagram = arrivals.pop(0)
            receiver.receive(datagram, HOME, at)
        played.append(receiver.pull(tick * FRAME))
        assert receiver.statistics().delay_seconds <= 0.6
    heard = [number_of(codes) for codes in played if codes is not None and codes[0, 0, 0] >= 0]
    assert heard == sorted(heard)
    assert set(heard) >= set(range(300)) | set(range(380, 600))
    assert receiver.statistics().concealed * FRAME < 4


def test_old_numbers_again_are_no_new_ones():
    log = _SequenceLog()
    assert all(log.add(number % 65_536) for number in range(60_000, 70_000))
    assert not any(log.add(number) for number in range(60_000, 60_200))
    assert (log.received, log.missing, log.duplicate) == (10_000, 0, 200)
