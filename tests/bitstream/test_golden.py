"""The golden files decode as ever, by the reader and by a second decoder written from FORMAT.md
alone.
"""

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

GOLDEN = Path(__file__).parent.parent / "golden" / "v1"
SHA256 = {
    "depths_fixed": "bb99ec6f4ef3d31f21511e9f7cb3e349c21ebe89599624a7fcd4a9027b6db891",
    "depths_range": "da871c08a81808396688485bbbad46ce2fbb6bca60da5c23b5ee17198d78a88f",
    "depths_two_channels": "1344343a974d1fd5a50ce7e0276121d14fdd74a85f1759d1363cd7f2465fab8d",
    "empty": "04a3ae029a461ac7a5197f49ee5017a306645b40eddda4cd8e0059cf41c259df",
    "fixed": "f1f2aab906fab4ab38f1fa9e9ed31a6afe10e0ccff43fbe152cf28c569090f10",
    "networks": "9e429f648111a66e77ab05bdf4ff327004a4ae84f6deac9a1dd5ec31ece3ec4f",
    "positions": "729cb831a1c79a16dd067ea73b3ba6fecf235ca3b03d6abda4246e31d0828ab9",
    "range": "5bce90a44c3c2ec779113ea3a79c3ece866b2d7cc3a528f05441c12272ad3495",
    "silence": "c19985bc694fefe2a21b6f391ee36147169be0e2a3496d76f59b664289430fda",
    "two_channels": "d4f7a5ed924c96aebe1404b13f4e47b10283a4cc7eeb1fd8dfb2492f3bc9ba4c",
}
SAMPLES = {
    "depths_fixed": 15_039,
    "depths_range": 98_000,
    "depths_two_channels": 39_000,
    "empty": 0,
    "fixed": 15_039,
    "networks": 28_920,
    "positions": 29_760,
    "range": 98_000,
    "silence": 16_000,
    "two_channels": 35_000,
}
VARIED = {
    "depths_fixed": [True, True, True],
    "depths_range": [True, True],
    "depths_two_channels": [False, True, True],
    "silence": [True, True, True],
}

each = pytest.mark.parametrize("name", SHA256)


def golden_tables(name):
    """Those that the range-coded streams need, None for the others."""
    if name != "networks" and not name.endswith("range"):
        return None
    with np.load(GOLDEN / f"{'networks' if name == 'networks' else 'tables'}.npz") as arrays:
        return EntropyTables.from_arrays(arrays)


def golden_codes(name):
    return np.load(GOLDEN / f"{name}.npy")


def test_all_golden_files_are_tested():
    assert sorted(path.stem for path in GOLDEN.glob("*.dvq")) == [*SHA256]


@each
def test_golden_files_are_those_first_written(name):
    assert hashlib.sha256((GOLDEN / f"{name}.dvq").read_bytes()).hexdigest() == SHA256[name]


@each
def test_golden_codes(name):
    codes, tables = golden_codes(name), golden_tables(name)
    packets, reader = read((GOLDEN / f"{name}.dvq").read_bytes(), tables)
    decoded = np.concatenate([codes[:, :, :0], *(packet.codes for packet in packets)], axis=2)  # pyright: ignore[reportCallIssue]
    np.testing.assert_array_equal(decoded, codes)
    assert {packet.coding for packet in packets} <= {"range" if tables else "fixed"}
    assert reader.samples == SAMPLES[name]
    assert not verify(GOLDEN / f"{name}.dvq", tables)


@each
def test_writing_the_golden_codes_again(name, tmp_path):
    """The same codes still give the same bytes; a better encoder may change this, but not by
    accident.
    """
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
    data, codes, tables = (
        (GOLDEN / f"{name}.dvq").read_bytes(),
        golden_codes(name),
        golden_tables(name),
    )
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
    assert stream.varied == VARIED.get(name, [False] * len(stream.varied))


@settings(max_examples=150, deadline=None)
@given(
    rng=seeds,
    stages=layouts(max_stages=4, max_codebook_bits=6),
    channels=st.integers(1, 2),
    frames=st.integers(0, 60),
    rates=st.tuples(*[st.sampled_from([8000, 16_000, 22_050, 44_100, 12_345])] * 2),
    with_tables=st.booleans(),
    with_depths=st.booleans(),
)
def test_the_second_decoder_agrees(rng, stages, channels, frames, rates, with_tables, with_depths):
    rate_fields = {"model_rate_hz": rates[0], "original_rate_hz": rates[1], "hop": 160}
    head = header(stages, channels=channels, packet_frames=25, **rate_fields)
    tables = random_tables(rng, stages)
    codes = likely_codes(rng, stages, channels, frames, tables)
    if with_depths:
        codes = varied(rng, codes, 25)
    data = write(codes, head, tables if with_tables else None)
    stream = format_twin.decode(data, twin_tables(tables, stages))
    assert stream.codes == codes.tolist()
    assert stream.varied == [
        bool((codes[:, :, start : start + 25] == -1).any()) for start in range(0, frames, 25)
    ]
    assert stream.samples == head.samples_in(frames)
    facts = (
        stream.fingerprint,
        stream.model_rate,
        stream.original_rate,
        stream.hop,
        stream.packet_frames,
    )
    assert facts == (b"finger", *rates, 160, 25)
    assert stream.stages == [(stage.codebook_bits, stage.position_bits) for stage in stages]
