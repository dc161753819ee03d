"""The golden files decode as ever, by the reader and by a second decoder written from FORMAT.md alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import EntropyTables, StreamReader, StreamWriter, verify

from . import format_twin
from .examples import (
    cut_to,
    header,
    layouts,
    likely_codes,
    random_tables,
    read,
    read_codes,
    seeds,
    twin_tables,
    varied,
    write,
)

GOLDEN = Path(__file__).parent.parent / "golden"
SHA256 = {
    "v1/empty": "bcce5e397d17fc1a7ee42bd61bc6db757a2fc139197722f60eddf9c51edb178f",
    "v1/fixed": "00f08ce2fdf89905f5aa272cd7048898e212defa474c4b2da833763536819625",
    "v1/positions": "f4596ef6c3e4e4d2b5ac550abd193114861af30f2e9af2d94d4ba65ef86b4156",
    "v1/range": "ccc837e337ffe203b3838f919df467d4849fbe6c8a97202ed716f4f1e5c90c69",
    "v1/two_channels": "2b6f320cd4c383ca035c5047d2b61de993375ad782b20de69efebfc21ec9f4f3",
    "v1_1/fixed": "49960d96d27d7856fc7a6e486904cb56b08a54da5584c1afe7acbf7d6de59bbe",
    "v1_1/range": "f74543efb7f6802fc1149281329832554728da70c296fe7715ee2f4136ac56a0",
    "v1_1/two_channels": "5ad7932e2884adfc2aca9f85d004a98c835d6ffa428a32897af096f8013e8d7b",
}
SAMPLES = {"empty": 0, "fixed": 15_039, "positions": 29_760, "range": 98_000, "two_channels": 35_000}
VARIED = {"fixed": [True, True, True], "range": [True, True], "two_channels": [False, True]}

each = pytest.mark.parametrize("name", SHA256)


def golden_tables(name):
    """Those that the range-coded streams need, None for the others."""
    if not name.endswith("/range"):
        return None
    with np.load(GOLDEN / "v1" / "tables.npz") as arrays:
        return EntropyTables.from_arrays(arrays)


def golden_codes(name):
    return np.load(GOLDEN / f"{name}.npy")


def test_all_golden_files_are_tested():
    assert sorted(path.relative_to(GOLDEN).with_suffix("").as_posix() for path in GOLDEN.glob("*/*.dvq")) == [*SHA256]


@each
def test_golden_files_are_those_first_written(name):
    assert hashlib.sha256((GOLDEN / f"{name}.dvq").read_bytes()).hexdigest() == SHA256[name]


@each
def test_golden_codes(name):
    codes, tables = golden_codes(name), golden_tables(name)
    packets, reader = read((GOLDEN / f"{name}.dvq").read_bytes(), tables)
    decoded = np.concatenate([codes[:, :, :0], *(packet.codes for packet in packets)], axis=2)
    np.testing.assert_array_equal(decoded, codes)
    assert {packet.coding for packet in packets} <= {"range" if tables else "fixed"}
    assert reader.samples == SAMPLES[name.split("/")[1]]
    assert not verify(GOLDEN / f"{name}.dvq", tables)


@each
def test_writing_the_golden_codes_again(name, tmp_path):
    """The same codes still give the same bytes; a better encoder may change this, but not by accident."""
    with (GOLDEN / f"{name}.dvq").open("rb") as file, (tmp_path / "again.dvq").open("wb") as out:
        reader = StreamReader(file)
        for _ in reader.raw_packets():
            pass
        writer = StreamWriter(out, reader.header, golden_tables(name))
        writer.write(golden_codes(name))
        writer.close(samples=reader.samples)
    assert (tmp_path / "again.dvq").read_bytes() == (GOLDEN / f"{name}.dvq").read_bytes()


@each
def test_cuts_of_golden_files(name):
    data, codes, tables = (GOLDEN / f"{name}.dvq").read_bytes(), golden_codes(name), golden_tables(name)
    for keep in range(1, codes.shape[1] + 1):
        cut_tables = tables and EntropyTables(tables.stages[:keep])
        np.testing.assert_array_equal(read_codes(cut_to(data, keep), cut_tables), codes[:, :keep])


@each
def test_the_second_decoder_agrees_on_golden_files(name):
    data, tables = (GOLDEN / f"{name}.dvq").read_bytes(), golden_tables(name)
    _, reader = read(data, tables)
    stream = format_twin.decode(data, tables and twin_tables(tables, reader.header.stages))
    assert stream.codes == golden_codes(name).tolist()
    assert stream.samples == reader.samples
    version, short_name = name.split("/")
    assert stream.minor == (version == "v1_1")
    assert stream.varied == (VARIED[short_name] if stream.minor else [False] * len(stream.varied))


@settings(max_examples=150, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_stages=4, max_codebook_bits=6),
    channels=st.integers(1, 2),
    frames=st.integers(0, 60),
    rates=st.tuples(*[st.sampled_from([8000, 16_000, 22_050, 44_100, 12_345])] * 2),
    with_tables=st.booleans(),
    minor=st.integers(0, 1),
)
def test_the_second_decoder_agrees(rng, stages, channels, frames, rates, with_tables, minor):
    rate_fields = {"model_rate_hz": rates[0], "original_rate_hz": rates[1], "hop": 160}
    head = header(stages, channels=channels, packet_frames=25, minor_version=minor, **rate_fields)
    tables = random_tables(rng, stages)
    codes = likely_codes(rng, stages, channels, frames, tables)
    if minor:
        codes = varied(rng, codes, 25)
    data = write(codes, head, tables if with_tables else None)
    stream = format_twin.decode(data, twin_tables(tables, stages))
    assert stream.codes == codes.tolist()
    assert stream.minor == minor
    assert stream.varied == [bool((codes[:, :, start : start + 25] == -1).any()) for start in range(0, frames, 25)]
    assert stream.samples == head.samples_in(frames)
    facts = (stream.fingerprint, stream.model_rate, stream.original_rate, stream.hop, stream.packet_frames)
    assert facts == (b"finger", *rates, 160, 25)
    assert stream.stages == [(stage.codebook_bits, stage.position_bits) for stage in stages]
