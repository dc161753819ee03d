"""Codeword frequencies that a small network computes from the codewords around, in integers."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .stage_counts import NONE

PRECISION_BITS = 24
MOST_OFFSET = 8
SCORES_PER_OCTAVE = 32
_TOP_BITS = 20  # of a share of the likeliest codeword
_LARGEST_POINT, _LARGEST_UNIT = 128, 255
_BITS_SCALE = 1000
_ROWS_AT_ONCE = 256
_MOST_LAYERS = 4
_MOST_CODEWORDS = 1 << 16
# Sums of products of integers are exact in float32, in whatever order, as long as they stay below.
_EXACT = 1 << 24


def _shares() -> np.ndarray:
    """2^(20 − d/32), rounded down, for each distance d of a score from the highest; the last is
    0.
    """
    shares = []
    for distance in range(_TOP_BITS * SCORES_PER_OCTAVE):
        share = 1 << _TOP_BITS * SCORES_PER_OCTAVE - distance
        for _ in range(SCORES_PER_OCTAVE.bit_length() - 1):  # the 32nd root
            share = math.isqrt(share)
        shares.append(share)
    return np.array([*shares, 0], np.uint64)


_SHARES = _shares()


@dataclass(frozen=True, eq=False)
class NetworkLayer:
    """A layer of integers: its sums are `inputs @ weights + biases`, and shifted right then.

    `weights` are int8 (inputs, outputs), `biases` int32 (outputs,). Bad arguments raise
    `ValueError`.
    """

    weights: np.ndarray
    biases: np.ndarray
    shift: int

    def __post_init__(self) -> None:
        weights, biases = np.array(self.weights), np.array(self.biases)
        if not _is_in(weights, np.int8) or weights.ndim != 2 or not weights.size:
            raise ValueError(
                f"a layer's weights are a table of 8-bit integers, not {weights.shape}"
            )
        if not _is_in(biases, np.int32) or biases.shape != weights.shape[1:]:
            raise ValueError(f"a layer of {weights.shape[1]} outputs has as many integer biases")
        if not 0 <= self.shift < PRECISION_BITS:
            raise ValueError(f"a layer's shift is 0 to {PRECISION_BITS - 1}, not {self.shift}")
        _freeze(self, "weights", weights.astype(np.int8))
        _freeze(self, "biases", biases.astype(np.int32))

    def largest_sum(self, largest_input: int) -> int:
        """Return a bound of the absolute sums, and of parts of them."""
        columns = np.abs(self.weights.astype(np.int64)).sum(axis=0) * largest_input
        return int((columns + np.abs(self.biases.astype(np.int64))).max())

    @cached_property
    def matrix(self) -> np.ndarray:
        return self.weights.astype(np.float32)

    @cached_property
    def offsets(self) -> np.ndarray:
        return self.biases.astype(np.float32)

    @cached_property
    def factor(self) -> np.float32:
        return np.float32(2.0**-self.shift)


@dataclass(frozen=True, eq=False)
class StageNetwork:
    """How often each codeword of a stage follows the codewords around it, by a network.

    Attributes:
        points: int8 (codewords, dims), a vector for each codeword of this stage.
        sees: int32 (n, 2), what the network sees: (frames ahead, stage) of n codewords, of stages
            before this one, or of this one in frames before. Their points, side by side, are the
            input; zeros stand where a packet has no such codeword.
        layers: all but the last are shifted, and clipped to 0 … 255; how far the last one's sums
            are below the highest, shifted, is 32 times how many octaves rarer a codeword is.
        expected_bits: of a codeword, on average, on speech that the network was not fitted to.
    """

    points: np.ndarray
    sees: np.ndarray
    layers: tuple[NetworkLayer, ...]
    expected_bits: float

    def __post_init__(self) -> None:
        points, sees = np.array(self.points), np.array(self.sees)
        if not _is_in(points, np.int8) or points.ndim != 2 or not points.size:
            raise ValueError(f"points are a table of 8-bit integers, not {points.shape}")
        codewords = len(points)
        if not 4 <= codewords <= _MOST_CODEWORDS or codewords & (codewords - 1):
            raise ValueError(
                f"there are points for {codewords} codewords; a power of two, 4 to "
                f"{_MOST_CODEWORDS}"
            )
        if not _is_in(sees, np.int32) or sees.ndim != 2 or sees.shape[1] != 2 or not sees.size:
            raise ValueError(f"what a network sees is a table of integer pairs, not {sees.shape}")
        if len({tuple(pair) for pair in sees.tolist()}) < len(sees):
            raise ValueError("a network sees a codeword twice")
        if not 1 <= len(self.layers) <= _MOST_LAYERS:
            raise ValueError(f"a network has 1 to {_MOST_LAYERS} layers, not {len(self.layers)}")
        outputs = [layer.weights.shape[1] for layer in self.layers]
        inputs = [layer.weights.shape[0] for layer in self.layers[1:]]
        if outputs != [*inputs, codewords]:
            raise ValueError(f"its layers do not fit each other, or {codewords} codewords")
        largest = [_LARGEST_POINT] + [_LARGEST_UNIT] * len(inputs)
        for layer, most in zip(self.layers, largest, strict=True):
            limit = _EXACT if layer is not self.layers[-1] else _EXACT // 2  # they are subtracted
            if layer.largest_sum(most) >= limit:
                raise ValueError(f"the sums of a layer may reach {limit}")
        if not 0 < self.expected_bits < PRECISION_BITS + 1:
            raise ValueError(f"a codeword takes some bits, not {self.expected_bits}")
        _freeze(self, "points", points.astype(np.int8))
        _freeze(self, "sees", sees.astype(np.int32))

    @property
    def codebook_bits(self) -> int:
        return len(self.points).bit_length() - 1

    @cached_property
    def point_matrix(self) -> np.ndarray:
        """The points as float32, and zeros in the last row, which is that of NONE."""
        return np.concatenate([self.points, np.zeros_like(self.points[:1])]).astype(np.float32)

    def check_sees(self, number: int, before: Sequence[int | None]) -> None:
        """Raise a `ValueError` unless this can be stage `number`: `before` are the dims of the
        points of the stages before, None where a stage has none.
        """
        dims = [*before, self.points.shape[1]]
        total = 0
        for ahead, stage in self.sees.tolist():
            is_known = 0 <= stage < number or (stage == number and ahead < 0)
            if not is_known or abs(ahead) > MOST_OFFSET:
                raise ValueError(
                    f"stage {number} sees stage {stage} of {ahead} frames ahead, which is not known"
                )
            if (size := dims[stage]) is None:
                raise ValueError(f"stage {number} sees stage {stage}, which has no points")
            total += size
        if total != self.layers[0].weights.shape[0]:
            raise ValueError(
                f"stage {number} sees {total} numbers, and its first layer takes others"
            )

    def sums(self, words: Sequence[np.ndarray], points: Sequence[np.ndarray | None]) -> np.ndarray:
        """The first layer's sums (channels, frames, units) for the codewords (channels, frames),
        or NONE, of this stage and those before. `points` are the `point_matrix` of each.
        """
        first = self.layers[0]
        inputs = [
            _matrix(points, stage)[_ahead(words[stage], ahead)]
            for ahead, stage in self.sees.tolist()
        ]
        return np.concatenate(inputs, axis=-1) @ first.matrix + first.offsets

    def own_sums(
        self, number: int, points: Sequence[np.ndarray | None]
    ) -> list[tuple[int, np.ndarray]]:
        """What codewords of this stage, `number`, add to the sums of frames behind them: how many
        frames behind, and a row for each codeword and for none.
        """
        sizes = [_matrix(points, stage).shape[1] for _, stage in self.sees.tolist()]
        blocks = np.split(self.layers[0].matrix, np.cumsum(sizes)[:-1])
        pairs = zip(self.sees.tolist(), blocks, strict=True)
        return [
            (-ahead, self.point_matrix @ block)
            for (ahead, stage), block in pairs
            if stage == number
        ]

    def shares(self, sums: np.ndarray) -> np.ndarray:
        """First sums (n, units) to sums of the shares of each codeword and those before it, uint64
        (n, codewords); `word_bounds` and `find` tell what these are of 2^24.
        """
        first, *others = self.layers
        values = sums
        before = first
        for layer in others:
            values = np.floor(values * before.factor)
            np.maximum(values, 0, out=values)
            np.minimum(values, _LARGEST_UNIT, out=values)
            values = values @ layer.matrix + layer.offsets
            before = layer
        np.subtract(values.max(axis=-1, keepdims=True), values, out=values)
        values *= before.factor
        return _SHARES.take(values.astype(np.int32), mode="clip").cumsum(axis=-1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The network as integer arrays; `from_arrays` is the inverse."""
        layers = {
            f"{part}_{number}": getattr(layer, part)
            for number, layer in enumerate(self.layers)
            for part in ("weights", "biases")
        }
        return {
            "points": self.points,
            "sees": self.sees,
            "shifts": np.array([layer.shift for layer in self.layers], np.int32),
            "expected_bits": np.array([round(self.expected_bits * _BITS_SCALE)], np.int32),
            **layers,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> StageNetwork:
        """Bad arrays are a `ValueError` or a `KeyError`."""
        shifts, bits = arrays["shifts"], arrays["expected_bits"]
        if not _is_in(shifts, np.int32) or shifts.ndim != 1:
            raise ValueError("its shifts are no integers, one for each layer")
        layered = [f"{part}_{n}" for n in range(len(shifts)) for part in ("weights", "biases")]
        needed = sorted(["expected_bits", "points", "sees", "shifts", *layered])
        if sorted(arrays) != needed:
            raise ValueError(f"a network of so many shifts has {needed}, not {sorted(arrays)}")
        if not _is_in(bits, np.int32) or bits.shape != (1,):
            raise ValueError("the bits that it expects are one integer")
        layers = tuple(
            NetworkLayer(arrays[f"weights_{number}"], arrays[f"biases_{number}"], shift)
            for number, shift in enumerate(shifts.tolist())
        )
        return cls(arrays["points"], arrays["sees"], layers, int(bits[0]) / _BITS_SCALE)


def word_bounds(shares: np.ndarray, codewords: np.ndarray) -> np.ndarray:
    """The bounds (2, n) of the codewords (n,) in rows of `StageNetwork.shares`."""
    count = shares.shape[1]
    factors = _room(count) // shares[:, -1]
    rows = np.arange(len(shares))
    lows = np.where(codewords > 0, shares[rows, codewords - 1], 0)
    spread = np.stack([lows, shares[rows, codewords]]) * factors >> np.uint64(32)
    found = spread.astype(np.int64) + np.stack([codewords, codewords + 1])
    found[1, codewords == count - 1] = 1 << PRECISION_BITS
    return found


def find(shares: np.ndarray, quantile: int) -> tuple[int, int, int]:
    """The codeword of a row of `StageNetwork.shares` whose part of 2^24 a quantile lies in, and its
    bounds.
    """
    count, before = len(shares), shares.item
    factor = int(_room(count)) // before(-1)

    def low(codeword: int) -> int:
        return codeword + (before(codeword - 1) * factor >> 32) if codeword else 0

    codeword = bisect.bisect_right(range(1, count), quantile, key=low)
    high = low(codeword + 1) if codeword + 1 < count else 1 << PRECISION_BITS
    return codeword, low(codeword), high


def pieces_of(count: int) -> Iterator[slice]:
    """Cut so many rows into pieces that stay in the processor's cache."""
    for start in range(0, count, _ROWS_AT_ONCE):
        yield slice(start, start + _ROWS_AT_ONCE)


def _room(codewords: int) -> np.uint64:
    """2^32 times what is left of 2^24 when each codeword has 1; products with shares stay below
    2^56.
    """
    return np.uint64(((1 << PRECISION_BITS) - codewords) << 32)


def _matrix(points: Sequence[np.ndarray | None], stage: int) -> np.ndarray:
    matrix = points[stage]
    assert matrix is not None
    return matrix


def _freeze(instance: object, name: str, array: np.ndarray) -> None:
    array.flags.writeable = False
    object.__setattr__(instance, name, array)


def _is_in(array: np.ndarray, type_: type[np.signedinteger]) -> bool:
    """Whether an array holds integers of a type's range."""
    if array.dtype.kind not in "iu":
        return False
    limits = np.iinfo(type_)
    return not array.size or (int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _ahead(words: np.ndarray, frames: int) -> np.ndarray:
    """The codewords so many frames ahead of each of (channels, frames), NONE beyond the packet."""
    moved = np.full_like(words, NONE)
    if frames > 0:
        moved[:, :-frames] = words[:, frames:]
    elif frames < 0:
        moved[:, -frames:] = words[:, :frames]
    else:
        moved[...] = words
    return moved
