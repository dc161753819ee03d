"""A slow, readable twin of the range coder, after FORMAT.md: whole numbers of any size, no library.

Tables are given as plain lists: per stage (source, context_bits, rows of counts), or, of a network,
("network", what it sees, points, layers), a layer being (weights, biases, shift).
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate

NONE = -1  # stands in codes and words for a stage that a frame does not have
TOTAL = 1 << 24
SMALLEST_RANGE = 1 << 32
FIRST_RANGE = (1 << 64) - 1


def bounds(counts):
    """Where each codeword's share of 2^24 begins, and where the last one ends."""
    codewords, total = len(counts), sum(counts)
    return [
        k + below * (TOTAL - codewords) // total
        for k, below in enumerate(accumulate(counts, initial=0))
    ]


@cache
def share(distance):
    """The largest whole number whose 32nd power is at most 2^(640 - distance); none of 640 and
    more.
    """
    if distance >= 640:
        return 0
    return next(
        n
        for n in range(int(2 ** (20 - distance / 32)) + 2, -1, -1)
        if n**32 <= 2 ** (640 - distance)
    )


def network_bounds(sums, shift):
    codewords, top = len(sums), max(sums)
    shares = [share(top - value >> shift) for value in sums]
    scale = (TOTAL - codewords) * 2**32 // sum(shares)
    begins = [
        k + (below * scale >> 32) for k, below in enumerate(accumulate(shares[:-1], initial=0))
    ]
    return [*begins, TOTAL]


class Tables:
    """Rows of bounds per stage, or a network, and the row that a codeword is coded with."""

    def __init__(self, stages, codebook_bits):
        self.stages = [
            stage if stage[0] == "network" else (*stage[:2], [bounds(row) for row in stage[2]])
            for stage in stages
        ]
        self.codebook_bits = codebook_bits

    def row(self, stage, words, frame):
        """`words[stage][frame]` are those of a channel, of this stage only before `frame`."""
        source, bits, rows, *_ = self.stages[stage]
        if source == "network":
            return network_bounds(*self.network(stage, words, frame))
        if source == "none":
            return rows[0]
        if source == "previous_frame":
            before = frame_before(words[stage], frame)
            return rows[1 << bits if before == NONE else before >> self.codebook_bits[stage] - bits]
        return rows[words[stage - 1][frame] >> self.codebook_bits[stage - 1] - bits]

    def network(self, stage, words, frame):
        _, sees, _, layers = self.stages[stage]
        values = []
        for ahead, other in sees:
            points = self.stages[other][2]
            there = 0 <= frame + ahead < len(words[other])
            word = words[other][frame + ahead] if there else NONE
            values += [0] * len(points[0]) if word == NONE else points[word]
        sums, shift = [], 0
        for weights, biases, shift in layers:
            columns = zip(*weights, strict=True)
            sums = [
                sum(v * w for v, w in zip(values, column, strict=True)) + bias
                for column, bias in zip(columns, biases, strict=True)
            ]
            values = [min(max(value >> shift, 0), 255) for value in sums]
        return sums, shift


class Encoder:
    def __init__(self):
        self.low, self.range, self.words = 0, FIRST_RANGE, 0

    def encode(self, begin, end):
        scale = self.range // TOTAL
        self.low += scale * begin
        self.range = scale * (end - begin)
        if self.range < SMALLEST_RANGE:
            self.low <<= 32
            self.range <<= 32
            self.words += 1

    @property
    def size(self):
        """Bytes of `low`, as a fraction."""
        return 4 * self.words + 8

    def finish(self):
        zero_bytes = 0
        while (
            self._with_zero_bytes(zero_bytes + 1) < self.low + self.range and zero_bytes < self.size
        ):
            zero_bytes += 1
        return self._with_zero_bytes(zero_bytes).to_bytes(self.size, "big").rstrip(b"\0")

    def _with_zero_bytes(self, count):
        return -(-self.low // 256**count) * 256**count


class Decoder:
    def __init__(self, stream):
        self.stream = stream + bytes(8)
        self.low, self.range = 0, FIRST_RANGE
        self.point = int.from_bytes(self.stream[:8], "big")
        self.position = 8

    def decode(self, row):
        scale = self.range // TOTAL
        quantile = (self.point - self.low) // scale
        if quantile >= TOTAL:
            raise ValueError("no code of any symbol")
        symbol = next(k for k in range(len(row) - 1) if quantile < row[k + 1])
        self.low += scale * row[symbol]
        self.range = scale * (row[symbol + 1] - row[symbol])
        if self.range < SMALLEST_RANGE:
            self.low <<= 32
            self.range <<= 32
            following = self.stream[self.position : self.position + 4].ljust(4, b"\0")
            self.point = self.point << 32 | int.from_bytes(following, "big")
            self.position += 4
        return symbol


def encode(codes, position_bits, tables):
    """`codes[channel][stage][frame]` to a range payload."""
    encoder, lows = Encoder(), []
    words = [
        [[word_of(i, bits) for i in s] for s, bits in zip(c, position_bits, strict=True)]
        for c in codes
    ]
    for stage, bits in enumerate(position_bits):
        if all(word == NONE for channel in words for word in channel[stage]):
            break
        for channel in words:
            for frame, word in enumerate(channel[stage]):
                if word != NONE:
                    row = tables.row(stage, channel, frame)
                    encoder.encode(row[word], row[word + 1])
        step = TOTAL >> bits
        last = (1 << tables.codebook_bits[stage]) - 1
        for channel in codes:
            for index in channel[stage]:
                if bits and index != NONE and index >> bits != last:
                    position = index % (1 << bits)
                    encoder.encode(position * step, (position + 1) * step)
        lows.append((encoder.low, encoder.size))
    stream = encoder.finish()
    ends = [bytes_needed(stream, low, size) for low, size in lows[:-1]]
    return (
        b"".join(varint(end - before) for end, before in zip(ends, [0, *ends], strict=False))
        + stream
    )


def word_of(index, position_bits):
    return NONE if index == NONE else index >> position_bits


def frame_before(words, frame):
    return words[frame - 1] if frame else NONE


def bytes_needed(stream, low, size):
    """The least number of bytes of `stream` that are a fraction of at least low / 256^size."""
    return next(
        n for n in range(size + 1) if int.from_bytes(stream[:n], "big") * 256 ** (size - n) >= low
    )


def varint(value):
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def decode_stream(stream, depths, position_bits, tables):
    """The inverse, of a payload without its ends: `depths[channel][frame]` to
    `codes[channel][stage][frame]`.

    Also the low end after each stage, and how many bytes it has.
    """
    decoder, lows = Decoder(stream), []
    words = [[[] for _ in position_bits] for _ in depths]
    codes = [[[] for _ in position_bits] for _ in depths]
    for stage, bits in enumerate(position_bits):
        for channel, of_channel in zip(words, depths, strict=True):
            for frame, depth in enumerate(of_channel):
                if depth <= stage:
                    channel[stage].append(NONE)
                    continue
                row = tables.row(stage, channel, frame)
                channel[stage].append(decoder.decode(row))
        positions = [(TOTAL >> bits) * k for k in range((1 << bits) + 1)]
        last = (1 << tables.codebook_bits[stage]) - 1
        for channel, coded in zip(words, codes, strict=True):
            for word in channel[stage]:
                position = decoder.decode(positions) if bits and word not in (NONE, last) else 0
                coded[stage].append(NONE if word == NONE else word << bits | position)
        lows.append((decoder.low, decoder.position))
    return codes, lows
