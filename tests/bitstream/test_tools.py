"""Describing, checking and cutting streams without their model."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import StageLayout, StreamReader, cut, read_info, verify
from codec.errors import BitstreamError, OutputError

from .examples import (
    content,
    forged,
    header,
    layouts,
    likely_codes,
    random_tables,
    read,
    read_codes,
    seeds,
    skewed_codes,
    skewed_tables,
    write,
)

STAGES = (StageLayout(8),) * 3 + (StageLayout(6, 2),) * 2


@settings(max_examples=80, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_codebook_bits=8),
    channels=st.integers(1, 3),
    frames=st.integers(0, 60),
    with_tables=st.booleans(),
)
def test_cut_keeps_the_first_stages(rng, stages, channels, frames, with_tables):
    head = header(stages, channels=channels, packet_frames=20, original_rate_hz=22_050)
    tables = random_tables(rng, stages)
    codes = likely_codes(rng, stages, channels, frames, tables)
    if not with_tables:
        tables = None
    samples = head.samples_in(frames) - 3 * (frames > 0)
    data = write(codes, head, tables, samples=samples)
    original, _ = read(data, tables)
    out = io.BytesIO()
    for keep in range(1, len(stages) + 1):
        out = io.BytesIO()
        cut(io.BytesIO(data), out, stages=keep)
        packets, reader = read(out.getvalue(), tables)
        assert reader.header.stages == stages[:keep]
        assert reader.samples == samples
        assert [packet.coding for packet in packets] == [packet.coding for packet in original]
        np.testing.assert_array_equal(read_codes(out.getvalue(), tables), codes[:, :keep])
        assert not verify(io.BytesIO(out.getvalue()), tables)
        if not with_tables:
            assert out.getvalue() == write(
                codes[:, :keep],
                header(stages[:keep], channels=channels, packet_frames=20, original_rate_hz=22_050),
                samples=samples,
            )
    assert out.getvalue() == data


def test_a_cut_stage_may_be_larger_than_fixed_width():
    """Range coding paid for all stages together, not for the first: what is left is still valid."""
    stages = (StageLayout(2), StageLayout(8))
    tables = skewed_tables(stages)
    codes = np.zeros((1, 2, 50), np.int32)
    codes[0, 0] = 3
    data = write(codes, header(stages, packet_frames=50), tables)
    out = io.BytesIO()
    cut(io.BytesIO(data), out, stages=1)
    (packet,), _ = read(out.getvalue(), tables)
    assert packet.coding == "range"
    assert packet.size_bytes > 50 * 2 // 8 + 6
    np.testing.assert_array_equal(packet.codes, codes[:, :1])


def test_cut_by_path(tmp_path):
    source, target = tmp_path / "whole.dvq", tmp_path / "cut.dvq"
    codes = np.arange(50).reshape(1, 5, 10) % 64
    source.write_bytes(write(codes, header(STAGES)))
    cut(source, str(target), stages=2)
    np.testing.assert_array_equal(read_codes(target.read_bytes()), codes[:, :2])


def test_cut_refuses(tmp_path):
    path = tmp_path / "whole.dvq"
    data = write(np.zeros((1, 5, 12), int), header(STAGES))
    path.write_bytes(data)
    with pytest.raises(BitstreamError, match="the stream has 5 stages; it cannot be cut to 6"):
        cut(path, io.BytesIO(), stages=6)
    with pytest.raises(ValueError, match="at least one stage"):
        cut(path, io.BytesIO(), stages=0)
    with pytest.raises(BitstreamError, match="cannot read"):
        cut(tmp_path / "missing.dvq", io.BytesIO(), stages=2)
    with pytest.raises(BitstreamError, match="cut off in the end marker"):
        cut(io.BytesIO(data[:-4]), io.BytesIO(), stages=2)


def test_cut_keeps_what_is_there(tmp_path):
    source, target = tmp_path / "whole.dvq", tmp_path / "precious.dvq"
    data = write(np.zeros((1, 5, 120), int), header(STAGES))
    source.write_bytes(data)
    target.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        cut(source, target, stages=2)
    source.write_bytes(data[:-4])
    with pytest.raises(BitstreamError, match="cut off"):
        cut(source, target, stages=2, overwrite=True)
    assert target.read_bytes() == b"precious"
    source.write_bytes(data)
    cut(source, target, stages=2, overwrite=True)
    assert read_codes(target.read_bytes()).shape == (1, 2, 120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious.dvq", "whole.dvq"]


def test_info_adds_up(tmp_path):
    head = header(STAGES, packet_frames=50, original_rate_hz=48_000)
    codes = np.concatenate(
        [
            np.zeros((1, 5, 100), np.int32),
            252 - skewed_codes(np.random.default_rng(0), STAGES, 1, 20) % 4 * 4,
        ],
        axis=2,
    )
    path = tmp_path / "speech.dvq"
    path.write_bytes(write(codes, head, skewed_tables(STAGES), samples=120 * 960 - 5))
    info = read_info(path)
    assert info.header == head
    assert info.samples == 120 * 960 - 5
    assert info.seconds == (120 * 960 - 5) / 48_000
    assert (info.frames, info.packets, info.range_packets, info.fixed_packets) == (120, 3, 2, 1)
    assert info.total_bytes == path.stat().st_size
    assert info.header_bytes == len(head.to_bytes()) == 26
    assert info.header_bytes + info.framing_bytes + info.payload_bytes == info.total_bytes
    # Three packets: one byte of head, four of checksum, the last one 2-byte head and its frame
    # count; the end marker.
    assert info.framing_bytes == 2 * 5 + 7 + 12
    assert info.bitrate == pytest.approx(8 * info.total_bytes / info.seconds)
    assert info.holes == ()


def test_info_of_an_empty_stream():
    info = read_info(io.BytesIO(write(np.zeros((1, 5, 0), int), header(STAGES))))
    assert (info.samples, info.packets, info.bitrate, info.holes) == (0, 0, 0.0, ())


def test_info_and_verify_need_a_header():
    for tool in (read_info, verify):
        with pytest.raises(BitstreamError, match=r"not a \.dvq stream"):
            tool(io.BytesIO(b"RIFF" * 20))


def test_verify_refuses_tables_of_another_model():
    data = write(np.zeros((1, 5, 12), int), header(STAGES))
    with pytest.raises(BitstreamError, match="wrong model"):
        verify(io.BytesIO(data), skewed_tables(STAGES[1:]))


def test_verify_decodes_range_coding_where_it_can():
    """Without tables only the ends are looked at: here the stream itself is no code."""
    stages = (StageLayout(4), StageLayout(4))
    head = header(stages, packet_frames=50)
    data = forged(head, content(10 << 3 | 1, b"\x00" + b"\xff" * 9))
    assert verify(io.BytesIO(data)) == ()
    (fault,) = verify(io.BytesIO(data), skewed_tables(stages))
    assert "stage 0 of the range-coded payload is no code" in fault.reason


def test_verify_names_each_fault():
    codes = skewed_codes(np.random.default_rng(0), STAGES, 1, 60)
    data = bytearray(write(codes, header(STAGES, packet_frames=10)))
    offsets = [packet.offset for packet in StreamReader(io.BytesIO(bytes(data))).raw_packets()]
    assert verify(io.BytesIO(bytes(data))) == ()
    data[offsets[1] + 9] ^= 1
    data[offsets[4] + 9] ^= 1
    data += b"!"
    faults = verify(io.BytesIO(bytes(data)))
    assert [(fault.first_frame, fault.frames) for fault in faults] == [(10, 10), (40, 10), (60, 0)]
    assert "packet 4 at 0.80 s" in faults[1].reason
    assert "the checksum does not fit" in faults[1].reason


def test_verify_stops_telling_faults_of_payloads():
    """A bit that fills up is one in each of 1,500 packets; damage is told all the same."""
    head = header((StageLayout(3),), packet_frames=1)
    data = forged(head, *[content(1 << 3, b"\1")] * 1500)
    faults = verify(io.BytesIO(data + b"!"))
    assert [fault.first_frame for fault in faults] == [*range(1000), 999, 1500]
    assert faults[0].reason == "the bits that fill up its last byte are not zero"
    assert "1000 payloads are at fault: the rest was not decoded" in {
        fault.reason for fault in faults[999:1001]
    }
    assert "after the end marker" in faults[1001].reason


def test_importing_costs_neither_torch_nor_constriction():
    script = "import sys, codec.bitstream; print(*{'torch', 'constriction'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_fixed_width_streams_never_import_constriction():
    script = (
        "import io, sys, numpy as np; from codec.bitstream import *;"
        "head = StreamHeader(fingerprint=bytes(6), model_rate_hz=1000, original_rate_hz=1000, "
        "hop=1, channels=1,"
        " packet_frames=2, stages=(StageLayout(3),)); file = io.BytesIO(); writer = "
        "StreamWriter(file, head);"
        "writer.write(np.zeros((1, 1, 5), int)); writer.close(samples=5);"
        "read_info(io.BytesIO(file.getvalue())); verify(io.BytesIO(file.getvalue()));"
        "print(len(list(StreamReader(io.BytesIO(file.getvalue())).packets())), 'constriction' in "
        "sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "False"]
