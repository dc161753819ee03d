"""What is written is read, whatever the layout, the coding, and the sizes of the pieces."""

from __future__ import annotations

import io
import os
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import StageLayout, StreamReader, StreamWriter, default_packet_frames

from .examples import (
    header,
    layouts,
    random_codes,
    random_tables,
    read,
    read_codes,
    seeds,
    skewed_codes,
    skewed_tables,
    write,
)


@settings(max_examples=150, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_codebook_bits=9),
    channels=st.integers(1, 3),
    frames=st.integers(0, 40),
    packet_frames=st.integers(1, 20),
    with_tables=st.booleans(),
)
def test_read_is_the_inverse_of_write(rng, stages, channels, frames, packet_frames, with_tables):
    head = header(stages, channels=channels, packet_frames=packet_frames)
    codes = skewed_codes(rng, stages, channels, frames)
    tables = random_tables(rng, stages) if with_tables else None
    file = io.BytesIO()
    writer = StreamWriter(file, head, tables)
    cuts = np.sort(rng.integers(0, frames + 1, 4))
    for piece in np.split(codes, cuts, axis=2):
        writer.write(piece)
    writer.close(samples=head.samples_in(frames))
    packets, reader = read(file.getvalue(), tables)
    assert reader.header == head
    assert reader.samples == head.samples_in(frames)
    assert [packet.first_frame for packet in packets] == list(range(0, frames, packet_frames))
    assert file.getvalue() == write(codes, head, tables)
    np.testing.assert_array_equal(read_codes(file.getvalue(), tables), codes)


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_width_round_trips_in_both_codings(bits):
    stages = (StageLayout(bits, min(7, 20 - bits)), StageLayout(bits))
    codes = random_codes(np.random.default_rng(bits), stages, 2, 7)
    tables = random_tables(np.random.default_rng(bits), stages)
    for coding in (None, tables):
        np.testing.assert_array_equal(
            read_codes(write(codes, header(stages, channels=2), coding), tables), codes
        )


def test_the_smaller_coding_is_chosen_per_packet():
    stages = (StageLayout(8),) * 3
    rng = np.random.default_rng(1)
    head = header(stages, packet_frames=50)
    uniform = 255 - random_codes(rng, stages, 1, 50) // 4
    codes = np.concatenate(
        [np.zeros((1, 3, 50), np.int32), uniform, np.zeros((1, 3, 10), np.int32)], axis=2
    )
    tables = skewed_tables(stages)
    packets, _ = read(write(codes, head, tables), tables)
    assert [packet.coding for packet in packets] == ["range", "fixed", "range"]
    fixed, _ = read(write(codes, head))
    assert all(
        ranged.size_bytes <= plain.size_bytes for ranged, plain in zip(packets, fixed, strict=True)
    )


@pytest.mark.parametrize("opened", [lambda pipe: pipe, io.BufferedReader])
def test_one_byte_at_a_time_through_a_pipe(opened):
    """Short reads and short writes, and a reader that gets each packet before the writer is
    done.
    """
    stages = (StageLayout(10), StageLayout(6, 3))
    codes = skewed_codes(np.random.default_rng(3), stages, 1, 23)
    tables = skewed_tables(stages)
    read_end, write_end = os.pipe()

    class Trickle(io.RawIOBase):
        def writable(self):
            return True

        def readable(self):
            return True

        def write(self, data):
            return os.write(write_end, bytes(data[:1]))

        def readinto(self, buffer):
            data = os.read(read_end, 1)
            buffer[: len(data)] = data
            return len(data)

    go_on = threading.Event()

    def produce():
        writer = StreamWriter(Trickle(), header(stages), tables)
        writer.write(codes[:, :, :10])
        assert go_on.wait(10)
        writer.write(codes[:, :, 10:])
        writer.close(samples=23 * 320 - 7)
        os.close(write_end)

    producer = threading.Thread(target=produce)
    producer.start()
    reader = StreamReader(opened(Trickle()))
    packets = reader.packets(tables)
    received = [next(packets).codes, next(packets).codes]
    go_on.set()
    received += [packet.codes for packet in packets]
    producer.join()
    os.close(read_end)
    np.testing.assert_array_equal(np.concatenate(received, axis=2), codes)  # pyright: ignore[reportCallIssue]
    assert reader.samples == 23 * 320 - 7


RATES_HZ = [
    8000,
    11025,
    16_000,
    22_050,
    24_000,
    37_800,
    44_100,
    48_000,
    96_000,
    192_000,
    1000,
    1007,
    768_000,
]


@settings(max_examples=400, deadline=None)
@given(
    samples=st.integers(0, 5000) | st.integers(0, 2**33),
    model_rate=st.sampled_from(RATES_HZ),
    original_rate=st.sampled_from(RATES_HZ),
    hop=st.integers(1, 65_535),
    packet_frames=st.integers(1, 65_535),
)
def test_any_number_of_samples_comes_back(samples, model_rate, original_rate, hop, packet_frames):
    """By the integers of FORMAT.md, without writing all the packets."""
    from codec.bitstream.framing import Framing
    from codec.bitstream.source import ByteSource

    head = header(
        model_rate_hz=model_rate,
        original_rate_hz=original_rate,
        hop=hop,
        packet_frames=packet_frames,
    )
    frames = head.frames_for(samples)
    assert Fraction(frames * hop, model_rate) >= Fraction(samples, original_rate)
    assert frames == 0 or Fraction((frames - 1) * hop, model_rate) < Fraction(
        samples, original_rate
    )
    packets = -(-frames // packet_frames)
    if packets >= 2**32:
        return
    framing = Framing(head, 0)
    unit = framing.read(ByteSource(io.BytesIO(framing.end(packets, samples, 7))))
    assert unit.is_end
    assert unit.index == packets
    assert framing.open_end(unit) == (samples, 7)


@pytest.mark.parametrize("samples", [0, 1, 959, 960, 961, 14_400, 14_401, 100_000])
def test_exact_length_at_another_rate(samples):
    head = header(original_rate_hz=48_000)
    codes = random_codes(np.random.default_rng(0), head.stages, 1, head.frames_for(samples))
    packets, reader = read(write(codes, head, samples=samples))
    assert reader.samples == samples
    assert sum(packet.frames for packet in packets) == -(-samples // 960)


@pytest.mark.parametrize(
    "original_rate_hz", [8000, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]
)
@pytest.mark.parametrize(
    "stages",
    [
        [StageLayout(10)] * 12,
        [StageLayout(10, 2)] * 8 + [StageLayout(10)] * 4,
        [StageLayout(10)] * 2,
    ],
)
@pytest.mark.parametrize("seconds", [0, 1, 30, 7200, 86_400 * 30])
def test_header_and_end_take_at_most_40_bytes(original_rate_hz, stages, seconds):
    from codec.bitstream.framing import Framing

    frames = default_packet_frames(stages, 50)
    head = header(stages, original_rate_hz=original_rate_hz, packet_frames=frames)
    for samples in {
        max(seconds * original_rate_hz - 1, 0),
        seconds * original_rate_hz,
        seconds * original_rate_hz + 1,
    }:
        packets = -(-head.frames_for(samples) // frames)
        assert len(head.to_bytes()) + len(Framing(head, 0).end(packets, samples, 0)) <= 40


@pytest.mark.parametrize("frame_rate", [50, 75, Fraction(44_100, 512), Fraction(25, 2)])
@pytest.mark.parametrize("kbps", [0.5, 1, 2, 6])
def test_packets_take_two_percent_at_most(frame_rate, kbps):
    stages = [StageLayout(10)] * max(1, round(kbps * 1000 / 10 / frame_rate))
    frames = default_packet_frames(stages, frame_rate)
    codes = random_codes(np.random.default_rng(0), stages, 1, 2 * frames)
    packets, _ = read(write(codes, header(stages, packet_frames=frames)))
    bitrate = len(stages) * 10 * frame_rate
    payload = -(-frames * len(stages) * 10 // 8)
    overhead = packets[0].size_bytes - payload
    if bitrate >= 250:
        assert overhead <= 0.02 * payload
    assert Fraction(frames) / frame_rate <= 10
    assert overhead <= 7


def test_packet_length_is_whole_seconds_within_bounds():
    one = [StageLayout(10)]
    assert default_packet_frames(one * 12, 50) == 50
    assert default_packet_frames(one * 2, 50) == 150
    assert default_packet_frames(one * 2, 50, channels=2) == 100
    assert default_packet_frames([StageLayout(1)], 50) == 500
    assert default_packet_frames(one, Fraction(1, 100)) == 1
    assert default_packet_frames([StageLayout(16)] * 127, 16_000, channels=255) == 2**20 // (
        127 * 255
    )
    assert default_packet_frames(one, 100_000) == 65_535


def test_writer_refuses_wrong_arguments():
    stages = (StageLayout(3, 2), StageLayout(4))
    writer = StreamWriter(io.BytesIO(), header(stages))
    good = np.zeros((1, 2, 3), np.int64)
    with pytest.raises(
        ValueError, match=r"index 29 \(channel 0, stage 0, frame 2\) is outside 0 to 28"
    ):
        writer.write(good + np.array([[[0, 0, 29], [0, 0, 0]]]))
    with pytest.raises(ValueError, match=r"frame 1 has other stages than its group"):
        writer.write(good - np.array([[[0, 0, 0], [0, 1, 0]]]))
    for wrong in (good.astype(float), good[0], good[:, :1], good.astype(bool)):
        with pytest.raises(ValueError, match="codes are integers"):
            writer.write(wrong)
    assert writer.frames == 0
    writer.write(good)
    with pytest.raises(
        ValueError, match="961 samples at 16000 Hz are 4 frames, but 3 were written"
    ):
        writer.close(samples=961)
    with pytest.raises(ValueError, match="-1 samples"):
        writer.close(samples=-1)
    writer.close(samples=960)
    with pytest.raises(ValueError, match="closed"):
        writer.write(good)
    with pytest.raises(ValueError, match="closed"):
        writer.close(samples=960)


def test_a_stream_is_read_once():
    reader = StreamReader(io.BytesIO(write(np.zeros((1, 2, 3), int), header())))
    with pytest.raises(ValueError, match="known after the last packet"):
        _ = reader.samples
    assert len(list(reader.packets())) == 1
    with pytest.raises(ValueError, match="read already"):
        next(reader.packets())


def test_reading_needs_a_binary_file():
    with pytest.raises(ValueError, match="binary mode"):
        StreamReader(io.StringIO("DVQ"))
