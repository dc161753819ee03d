"""info, verify and cut: what is said of streams, whole and damaged, and streams of fewer stages."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
import soundfile
from codec.cli.info import _time

from codec import Codec, StreamReader, read_info


def lose_packet(stream: bytes, number: int) -> tuple[bytes, float, float]:
    """The stream with one packet damaged, and where that packet is: its start and its length in
    seconds.
    """
    reader = StreamReader(io.BytesIO(stream))
    packet = list(reader.raw_packets())[number]
    start = packet.offset
    damaged = stream[: start + 9] + bytes([stream[start + 9] ^ 1]) + stream[start + 10 :]
    return damaged, reader.header.seconds(packet.first_frame), reader.header.seconds(packet.frames)


@pytest.fixture
def damaged(coded, coded_bytes):
    """coded.dvq, and lost.dvq with its first packet damaged: the start and the length of the hole
    in seconds.
    """
    stream, start, length = lose_packet(coded_bytes, 0)
    (coded / "lost.dvq").write_bytes(stream)
    return start, length


def test_json_has_all_the_facts(call, coded, coded_bytes, library, shipped):
    result = call("info", "coded.dvq", "--json")
    assert (result.code, result.err, result.out.count("\n")) == (0, "", 1)
    facts = json.loads(result.out)
    packets = list(StreamReader(io.BytesIO(coded_bytes)).raw_packets())
    payload = sum(len(packet.payload or b"") for packet in packets)
    coding = [packet.coding for packet in packets]
    header = len(StreamReader(io.BytesIO(coded_bytes)).header.to_bytes())
    assert facts == {
        "file": "coded.dvq",
        "model": "tiny",
        "fingerprint": library.fingerprint.hex(),
        "original_rate_hz": 16_000,
        "model_rate_hz": 16_000,
        "channels": 1,
        "samples": 53_280,
        "duration_s": 3.33,
        "frames": 167,
        "frame_rate_hz": 50.0,
        "stages": 4,
        "stage_bits": [6, 6, 6, 6],
        "position_bits": [0, 0, 0, 0],
        "mean_stages": 4.0,
        "nominal_kbps": 1.2,
        "used_kbps": pytest.approx(len(coded_bytes) * 8e-3 / 3.33),
        "bytes": len(coded_bytes),
        "header_bytes": header,
        "framing_bytes": len(coded_bytes) - header - payload,
        "payload_bytes": payload,
        "packets": len(packets),
        "fixed_packets": coding.count("fixed"),
        "range_packets": coding.count("range"),
        "holes": [],
    }


def test_tells_people_the_same(call, coded, coded_bytes, shipped):
    lines = call("info", "coded.dvq").out.splitlines()
    assert lines[0] == "coded.dvq"
    facts = dict(line.strip().split("  ", 1) for line in lines[1:])
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["model"].startswith("tiny (fingerprint ")
    assert facts["audio"] == "16000 Hz, 1 channel, 0:03.33"
    assert facts["stages"] == "4 of 6 bits"
    assert facts["bitrate"] == f"1.2 kbps nominal, {len(coded_bytes) * 8e-3 / 3.33:.3g} kbps used"
    assert facts["size"].startswith(f"{len(coded_bytes):,} bytes: header ")
    assert facts["holes"] == "none"


def test_tells_how_many_stages_frames_have(call, coded, tiny):
    assert call("encode", "speech.wav", "varied.dvq", "--bitrate", 0.75, "--model", tiny).code == 0
    reader = StreamReader(io.BytesIO((coded / "varied.dvq").read_bytes()))
    codes = [packet.codes for packet in reader.packets(Codec.load(tiny).tables)]
    counts = np.concatenate([np.count_nonzero(packet >= 0, axis=1)[0] for packet in codes])
    result = call("info", "varied.dvq")
    assert f"stages     up to 4 of 6 bits, {counts.mean():.2f} on average" in result.out
    facts = json.loads(call("info", "varied.dvq", "--json").out)
    assert facts["mean_stages"] == pytest.approx(counts.mean())
    assert facts["nominal_kbps"] == pytest.approx(counts.mean() * 0.3)


def test_cuts_a_varied_file_to_what_its_frames_take(call, coded, tiny):
    """To 0.6 kbps: as many stages as keep to it where most frames have fewer than those."""
    assert call("encode", "speech.wav", "varied.dvq", "--bitrate", 0.75, "--model", tiny).code == 0
    assert call("cut", "varied.dvq", "cut.dvq", "--bitrate", 0.6).code == 0
    stages = len(read_info("cut.dvq").header.stages)
    bounds = [read_info("varied.dvq").channel_bitrate(count) for count in (stages, stages + 1)]
    assert read_info("cut.dvq").channel_bitrate() == pytest.approx(bounds[0])
    assert bounds[0] <= 600 < bounds[1]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(3599.999, "1:00:00.00"), (59.994, "0:59.99"), (61, "1:01.00")]
)
def test_times_are_rounded_before_they_are_cut_up(seconds, expected):
    assert _time(seconds) == expected


def test_shows_holes(call, damaged):
    start, length = damaged
    result = call("info", "lost.dvq", "--json")
    assert result.code == 0
    (hole,) = json.loads(result.out)["holes"]
    assert (hole["start_s"], hole["duration_s"]) == (start, length)
    assert "packet 0" in hole["reason"]
    assert f"at 0:00.00 for {length:.2f} s: packet 0 at 0.00 s" in call("info", "lost.dvq").out


def test_many_files_one_of_them_no_stream(call, coded):
    result = call("info", "coded.dvq", "speech.wav", "coded.dvq", "--json")
    assert result.code == 1
    assert [json.loads(line)["file"] for line in result.out.splitlines()] == [
        "coded.dvq",
        "coded.dvq",
    ]
    assert result.error.startswith("diveq-codec: error: speech.wav: this is not a .dvq stream")


def test_reads_standard_input(start, coded):
    with open("coded.dvq", "rb") as source:
        out, err = start("info", "-", "--json", stdin=source).communicate()
    assert (json.loads(out)["file"], json.loads(out)["samples"], err) == (
        "standard input",
        53_280,
        b"",
    )


def test_odd_names_are_shown(call, coded):
    odd = os.fsdecode(b"caf\xe9\n.dvq") if os.name == "posix" else "café.dvq"
    os.rename("coded.dvq", odd)
    assert call("verify", odd).code == 0


def test_verify_says_ok_or_why_not(call, damaged):
    result = call("verify", "coded.dvq", "lost.dvq", "speech.wav")
    assert (result.code, result.err) == (1, "")
    good, lost, no_stream = result.out.splitlines()
    assert good == "coded.dvq: ok"
    assert lost.startswith("lost.dvq: packet 0 at 0.00 s, byte ")
    assert no_stream.startswith("speech.wav: this is not a .dvq stream")
    assert call("verify", "coded.dvq").code == 0


def test_verify_as_json(call, damaged):
    result = call("verify", "coded.dvq", "lost.dvq", "--json")
    good, lost = map(json.loads, result.out.splitlines())
    assert good == {"file": "coded.dvq", "ok": True, "faults": []}
    assert (lost["file"], lost["ok"], len(lost["faults"])) == ("lost.dvq", False, 1)


def test_recover_keeps_time_and_says_what_is_lost(call, damaged, tiny, library, coded):
    start, length = damaged
    result = call(
        "decode", "lost.dvq", "out.wav", "--recover", "--subtype", "FLOAT", "--model", tiny
    )
    assert result.code == 0
    assert f"diveq-codec: lost.dvq: lost {length:.2f} s at {start:.2f} s: packet 0" in result.err
    heard, _ = soundfile.read("out.wav", dtype="float32")
    expected = library.decode(coded / "lost.dvq", recover=True).wave[0]
    assert (heard == expected).all()
    assert len(heard) == 53_280
    assert not heard[: int(length * 16_000)].any()
    assert heard[int(length * 16_000) :].any()


@pytest.mark.parametrize("wish", [("--stages", 2), ("--bitrate", 0.7)])
def test_cut_is_what_decoding_fewer_stages_gives(call, coded, tiny, wish):
    assert call("cut", "coded.dvq", "cut.dvq", *wish).code == 0
    assert call("decode", "cut.dvq", "from cut.wav", "--model", tiny).code == 0
    assert call("decode", "coded.dvq", "from whole.wav", "--stages", 2, "--model", tiny).code == 0
    assert (coded / "from cut.wav").read_bytes() == (coded / "from whole.wav").read_bytes()
    assert len(read_info("cut.dvq").header.stages) == 2
    assert (coded / "cut.dvq").stat().st_size < (coded / "coded.dvq").stat().st_size
    assert call("verify", "cut.dvq").code == 0


def test_cut_through_pipes(call, start, coded):
    process = start("cut", "-", "-", "--bitrate", 0.7, stdin=-1)
    piped, said = process.communicate((coded / "coded.dvq").read_bytes())
    assert (process.returncode, said) == (0, b"")
    call("cut", "coded.dvq", "cut.dvq", "--stages", 2)
    assert piped == (coded / "cut.dvq").read_bytes()


def test_cut_copies_a_pipe_that_says_it_can_seek(coded_bytes):
    """As all pipes say on Windows, where seeking does nothing."""
    from codec.cli.cut import _seekable

    class WindowsPipe(io.FileIO):
        def seekable(self) -> bool:
            return True

        def seek(self, *_arguments) -> int:
            return 0

    reading, writing = os.pipe()
    os.write(writing, coded_bytes)  # less than a pipe holds
    os.close(writing)
    with WindowsPipe(reading) as pipe, _seekable(pipe) as file:
        assert file.read(3) == b"DVQ"
        file.seek(0)
        assert file.read() == coded_bytes


def test_cut_into_itself(call, coded):
    call("cut", "coded.dvq", "cut.dvq", "--stages", 1)
    assert call("cut", "coded.dvq", "coded.dvq", "--stages", 1).code == 1
    assert call("cut", "coded.dvq", "coded.dvq", "--stages", 1, "--force").code == 0
    assert (coded / "coded.dvq").read_bytes() == (coded / "cut.dvq").read_bytes()


@pytest.mark.parametrize(
    ("source", "wish", "line"),
    [
        ("lost.dvq", ("--stages", 1), "lost.dvq: packet 0 at 0.00 s, byte "),
        ("coded.dvq", ("--stages", 5), "coded.dvq: the stream has 4 stages; it cannot be cut to 5"),
        (
            "coded.dvq",
            ("--bitrate", 0.2),
            "coded.dvq: the first stage alone takes 0.3 kbps, more than 0.2",
        ),
        ("speech.wav", ("--bitrate", 1), "speech.wav: this is not a .dvq stream"),
    ],
)
def test_what_cannot_be_cut(call, damaged, names, source, wish, line):
    before = names()
    result = call("cut", source, "out.dvq", *wish)
    assert result.code == 1
    assert result.error.startswith(f"diveq-codec: error: {line}")
    assert names() == before
