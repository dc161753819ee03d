"""Networks of entropy tables: their checks, their integers, and what they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from codec.bitstream import NONE, EntropyTables, NetworkLayer, StageLayout, StageNetwork, StageTable
from codec.bitstream.entropy_network import find, word_bounds
from codec.errors import BitstreamError

from .examples import header, random_network, read_codes, skewed_tables, write

POINTS = np.arange(12).reshape(4, 3)
SEES = np.array([[-1, 0]])
LAYER = NetworkLayer(np.ones((3, 4), int), np.zeros(4, int), 0)


def network(**changes):
    fields = {"points": POINTS, "sees": SEES, "layers": (LAYER,), "expected_bits": 2.0}
    return StageNetwork(**(fields | changes))


@pytest.mark.parametrize(
    ("weights", "biases", "shift", "message"),
    [
        (np.ones((3, 4)), np.zeros(4, int), 0, "8-bit integers"),
        (np.full((3, 4), 128), np.zeros(4, int), 0, "8-bit integers"),
        (np.ones(4, int), np.zeros(4, int), 0, "8-bit integers"),
        (np.ones((0, 4), int), np.zeros(4, int), 0, "8-bit integers"),
        (np.ones((3, 4), int), np.zeros(3, int), 0, "4 outputs has as many"),
        (np.ones((3, 4), int), np.zeros(4), 0, "4 outputs has as many"),
        (np.ones((3, 4), int), np.full(4, 1 << 31), 0, "4 outputs has as many"),
        (np.ones((3, 4), int), np.zeros(4, int), -1, "shift is 0 to 23, not -1"),
        (np.ones((3, 4), int), np.zeros(4, int), 24, "shift is 0 to 23, not 24"),
    ],
)
def test_bad_layers(weights, biases, shift, message):
    with pytest.raises(ValueError, match=message):
        NetworkLayer(weights, biases, shift)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": POINTS / 2}, "points are a table of 8-bit"),
        ({"points": POINTS + 120}, "points are a table of 8-bit"),
        ({"points": POINTS[0]}, "points are a table of 8-bit"),
        ({"points": POINTS[:2]}, "points for 2 codewords"),
        ({"points": np.concatenate([POINTS, POINTS[:1]])}, "points for 5 codewords"),
        ({"sees": SEES[0]}, "integer pairs"),
        ({"sees": SEES[:0]}, "integer pairs"),
        ({"sees": SEES * 0.5}, "integer pairs"),
        ({"sees": np.repeat(SEES, 2, axis=0)}, "sees a codeword twice"),
        ({"layers": ()}, "1 to 4 layers, not 0"),
        ({"layers": (LAYER,) * 5}, "1 to 4 layers, not 5"),
        ({"layers": (LAYER, LAYER)}, "do not fit"),
        ({"layers": (NetworkLayer(np.ones((3, 5), int), np.zeros(5, int), 0),)}, "do not fit"),
        (
            {"layers": (NetworkLayer(np.ones((3, 4), int), np.full(4, (1 << 23) - 384), 0),)},
            "may reach 8388608",
        ),
        ({"expected_bits": 0.0}, "takes some bits"),
        ({"expected_bits": np.nan}, "takes some bits"),
    ],
)
def test_bad_networks(changes, message):
    with pytest.raises(ValueError, match=message):
        network(**changes)


def test_sums_just_below_the_limit_are_fine():
    largest = NetworkLayer(np.ones((3, 4), int), np.full(4, (1 << 23) - 385), 0)
    made = network(layers=(largest,), points=np.full((4, 3), -128))
    sums = made.sums([np.array([[0, 0]])], [made.point_matrix])
    assert sums[0, :, 0].tolist() == [(1 << 23) - 385, (1 << 23) - 385 - 384]


@pytest.mark.parametrize(
    ("sees", "message"),
    [
        ([(0, 0)], "stage 0 sees stage 0 of 0 frames ahead"),
        ([(1, 0)], "stage 0 sees stage 0 of 1 frames ahead"),
        ([(-9, 0)], "stage 0 sees stage 0 of -9 frames ahead"),
        ([(-1, 1)], "stage 0 sees stage 1 of -1 frames ahead"),
        ([(-1, -1)], "stage 0 sees stage -1 of -1 frames ahead"),
        ([(-1, 0), (-2, 0)], "sees 6 numbers"),
    ],
)
def test_a_stage_sees_what_is_known_already(sees, message):
    with pytest.raises(ValueError, match=message):
        EntropyTables((network(sees=np.array(sees)),))


def test_only_points_are_seen():
    table = skewed_tables([StageLayout(2)]).stages[0]
    with pytest.raises(ValueError, match="stage 1 sees stage 0, which has no points"):
        EntropyTables((table, network()))
    assert EntropyTables((network(), network())).stages[1].codebook_bits == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("stage_0.points"), "stage 0 is damaged: a network of"),
        (lambda a: a.pop("stage_0.shifts"), "stage 0 is incomplete: found"),
        (lambda a: a.pop("stage_0.biases_0"), "stage 0 is damaged: a network of"),
        (
            lambda a: a.update({"stage_0.more": np.zeros(1, int)}),
            "stage 0 is damaged: a network of",
        ),
        (lambda a: a.update({"stage_0.shifts": np.zeros((1, 1), int)}), "one for each layer"),
        (lambda a: a.update({"stage_0.expected_bits": np.zeros(1)}), "are one integer"),
        (lambda a: a.update({"stage_0.expected_bits": np.zeros(1, int)}), "takes some bits"),
        (lambda a: a.update({"stage_0.context": np.array([3, 1])}), "has no context bits"),
        (lambda a: a.update({"stage_0.sees": np.array([[1, 0]])}), "which is not known"),
        (lambda a: a.update({"stage_0.points": np.full((4, 3), 300)}), "stage 0 is damaged"),
    ],
)
def test_damaged_arrays(change, message):
    arrays = EntropyTables((network(),)).to_arrays()
    change(arrays)
    with pytest.raises(BitstreamError, match=message):
        EntropyTables.from_arrays(arrays)


def test_bounds_by_hand():
    """Scores 0, -32, -64 and -1000 of one frame without others: shares 4 : 2 : 1 : 0."""
    biases = np.array([0, -32, -64, -1000])
    made = network(layers=(NetworkLayer(np.zeros((3, 4), int), biases, 0),))
    shares = made.shares(made.sums([np.zeros((1, 1), int)], [made.point_matrix])[0])
    assert np.diff(shares[0], prepend=np.uint64(0)).tolist() == [1 << 20, 1 << 19, 1 << 18, 0]
    room = (1 << 24) - 4
    begins = [0, room * 4 // 7 + 1, room * 6 // 7 + 2, room - 1 + 3, 1 << 24]
    lows, highs = word_bounds(shares.repeat(4, axis=0), np.arange(4))
    assert [*lows, highs[-1]] == begins
    assert [*highs] == begins[1:]
    for word in range(4):
        for quantile in (begins[word], begins[word + 1] - 1):
            assert find(shares[0], quantile) == (word, begins[word], begins[word + 1])


def test_a_packet_sees_none_of_others():
    """Frames beyond a packet, and frames without the stage, are zeros."""
    made = network(sees=np.array([(-1, 0), (-2, 0)]), layers=(_zeros(6),))
    words = np.array([[3, NONE, 1]])
    weights = np.arange(6)[:, None].repeat(4, axis=1)
    made = network(sees=made.sees, layers=(NetworkLayer(weights, np.zeros(4, int), 0),))
    sums = made.sums([words], [made.point_matrix])
    first = POINTS[3] @ [0, 1, 2]
    assert sums[0, :, 0].tolist() == [0, first, POINTS[3] @ [3, 4, 5]]


def _zeros(inputs):
    return NetworkLayer(np.zeros((inputs, 4), int), np.zeros(4, int), 0)


def test_long_packets_are_coded_in_pieces():
    rng = np.random.default_rng(3)
    stages = (StageLayout(3), StageLayout(4))
    tables = []
    for stage in stages:
        tables.append(random_network(rng, stage, tables))
    made = EntropyTables(tuple(tables))
    codes = np.stack([rng.integers(0, 2, (2, 700)), rng.integers(0, 2, (2, 700))], axis=1)
    head = header(stages, channels=2, packet_frames=600)
    np.testing.assert_array_equal(read_codes(write(codes, head, made), made), codes)


def test_expected_bits():
    """Of a table they follow from its counts; without a network nothing is expected."""
    plain = skewed_tables([StageLayout(2)])
    assert plain.expected_bits is None
    (table,) = plain.stages
    assert isinstance(table, StageTable)
    shares = table.counts[0] / table.counts.sum()
    found = EntropyTables((network(expected_bits=1.75), table)).expected_bits
    assert found == pytest.approx([1.75, -(shares * np.log2(shares)).sum()])
