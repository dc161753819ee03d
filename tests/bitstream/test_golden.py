"""The golden files decode as ever, by the reader and by a second decoder written from FORMAT.md alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import EntropyTables, StreamReader, StreamWriter, verify

from . import format_twin, range_twin
from .examples import header, layouts, random_tables, read, seeds, skewed_codes, write

GOLDEN = Path(__file__).parent.parent / "golden" / "v1"
NAMES = ["empty", "fixed", "positions", "range", "two_channels"]
SHA256 = {
    "empty": "bcce5e397d17fc1a7ee42bd61bc6db757a2fc139197722f60eddf9c51edb178f",
    "fixed": "00f08ce2fdf89905f5aa272cd7048898e212defa474c4b2da833763536819625",
    "positions": "f4596ef6c3e4e4d2b5ac550abd193114861af30f2e9af2d94d4ba65ef86b4156",
    "range": "ccc837e337ffe203b3838f919df467d4849fbe6c8a97202ed716f4f1e5c90c69",
    "two_channels": "2b6f320cd4c383ca035c5047d2b61de993375ad782b20de69efebfc21ec9f4f3",
}


def golden_tables():
    with np.load(GOLDEN / "tables.npz") as arrays:
        return EntropyTables.from_arrays(arrays)


def twin_tables(tables, stages):
    as_lists = [(table.source, table.context_bits, table.counts.tolist()) for table in tables.stages]
    return range_twin.Tables(as_lists, [stage.codebook_bits for stage in stages])


def test_all_golden_files_are_tested():
    assert sorted(path.stem for path in GOLDEN.glob("*.dvq")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_are_those_first_written(name):
    assert hashlib.sha256((GOLDEN / f"{name}.dvq").read_bytes()).hexdigest() == SHA256[name]


@pytest.mark.parametrize("name", NAMES)
def test_golden_codes(name):
    codes = np.load(GOLDEN / f"{name}.npy")
    packets, reader = read((GOLDEN / f"{name}.dvq").read_bytes(), golden_tables() if name == "range" else None)
    decoded = np.concatenate([codes[:, :, :0], *(packet.codes for packet in packets)], axis=2)
    np.testing.assert_array_equal(decoded, codes)
    assert {packet.coding for packet in packets} <= {"range" if name == "range" else "fixed"}
    samples = {"empty": 0, "fixed": 15_039, "positions": 29_760, "range": 98_000, "two_channels": 35_000}
    assert reader.samples == samples[name]
    assert not verify(GOLDEN / f"{name}.dvq", golden_tables() if name == "range" else None)


@pytest.mark.parametrize("name", NAMES)
def test_writing_the_golden_codes_again(name, tmp_path):
    """The same codes still give the same bytes; a better encoder may change this, but not by accident."""
    with (GOLDEN / f"{name}.dvq").open("rb") as file, (tmp_path / "again.dvq").open("wb") as out:
        reader = StreamReader(file)
        for _ in reader.raw_packets():
            pass
        writer = StreamWriter(out, reader.header, golden_tables() if name == "range" else None)
        writer.write(np.load(GOLDEN / f"{name}.npy"))
        writer.close(samples=reader.samples)
    assert (tmp_path / "again.dvq").read_bytes() == (GOLDEN / f"{name}.dvq").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_second_decoder_agrees_on_golden_files(name):
    data = (GOLDEN / f"{name}.dvq").read_bytes()
    _, reader = read(data, golden_tables() if name == "range" else None)
    stream = format_twin.decode(data, twin_tables(golden_tables(), reader.header.stages))
    assert stream.codes == np.load(GOLDEN / f"{name}.npy").tolist()
    assert stream.samples == reader.samples


@settings(max_examples=150, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_stages=4, max_codebook_bits=6),
    channels=st.integers(1, 2),
    frames=st.integers(0, 60),
    rates=st.tuples(*[st.sampled_from([8000, 16_000, 22_050, 44_100, 12_345])] * 2),
    with_tables=st.booleans(),
)
def test_the_second_decoder_agrees(rng, stages, channels, frames, rates, with_tables):
    head = header(
        stages, channels=channels, packet_frames=25, model_rate_hz=rates[0], original_rate_hz=rates[1], hop=160
    )
    tables = random_tables(rng, stages)
    codes = skewed_codes(rng, stages, channels, frames)
    data = write(codes, head, tables if with_tables else None)
    stream = format_twin.decode(data, twin_tables(tables, stages))
    assert stream.codes == codes.tolist()
    assert stream.samples == head.samples_in(frames)
    facts = (stream.fingerprint, stream.model_rate, stream.original_rate, stream.hop, stream.packet_frames)
    assert facts == (b"finger", *rates, 160, 25)
    assert stream.stages == [(stage.codebook_bits, stage.position_bits) for stage in stages]
