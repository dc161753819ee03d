"""The range-coded payload: `constriction`'s coder, integer tables, and ends at which stages can be
cut off.

FORMAT.md states the coder in integer arithmetic. `constriction` computes the same as long as its
models hold exactly
our integers: it splits 2^24 by giving each codeword 1 and adding `probability · scale`, rounded
down cumulatively, with scale = (2^24 − codewords) / sum of probabilities. Given frequency − 1 for
probability, scale is exactly 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import BitstreamError
from .entropy import EntropyTables, StageTable, cumulative_frequencies
from .entropy_network import PRECISION_BITS, StageNetwork
from .interval_decoding import NoCodeError, decode_side_by_side
from .layout import StageLayout
from .stage_counts import NONE, extremes, present
from .varint import encode_varint, take_varint

# Words of an encoder behind which its low end is held, and that low end.
_Place = tuple[int, int]

_WORD_BITS = 32
_WORD_BYTES = 4
_STATE_BYTES = 8
_MAX_END_BYTES = 4


def range_size_limit(stages: int, channels: int, frames: int) -> int:
    """Return an upper bound of a payload's bytes: a codeword and its position take less than 32
    bits.
    """
    return 4 * (channels * stages * frames + stages) + 8


def encode_range(codes: np.ndarray, stages: Sequence[StageLayout], tables: EntropyTables) -> bytes:
    """Encode `codes` (channels, stages, frames), whose indices are known to be in range.

    Stages that no frame has are not in it.
    """
    encoder, places = _encode_stages(codes, stages, tables)
    stream = _shortest(_low(encoder), encoder.pos()[1][1])
    return _join(_ends_of(stream, places[:-1]), stream)


def encode_stream(codes: np.ndarray, stages: Sequence[StageLayout], tables: EntropyTables) -> bytes:
    """Encode as `encode_range`, without the ends of the stages."""
    encoder, _ = _encode_stages(codes, stages, tables)
    return _shortest(_low(encoder), encoder.pos()[1][1])


def _encode_stages(
    codes: np.ndarray, stages: Sequence[StageLayout], tables: EntropyTables
) -> tuple[Any, list[_Place]]:
    """The encoder after all stages, and where it was after each."""
    constriction = _constriction()
    encoder = constriction.queue.RangeEncoder()
    last = int(np.count_nonzero((codes != NONE).any(axis=(0, 2))))
    by_stage = codes[:, :last].swapaxes(0, 1).astype(np.int32, order="C")
    places: list[_Place] = []
    so_far: list[np.ndarray] = []
    for stage, indices in zip(stages[:last], by_stage, strict=True):
        words = indices >> stage.position_bits
        so_far.append(words)
        _encode_words(encoder, tables, so_far)
        if stage.position_bits:
            inside = (words != NONE) & (words < stage.codewords - 1)
            positions = (indices & (1 << stage.position_bits) - 1)[inside]
            encoder.encode(positions, constriction.model.Uniform(1 << stage.position_bits))
        words_before, (low, _) = encoder.pos()
        places.append((words_before, low))
    return encoder, places


def decode_range(
    payload: bytes, stages: Sequence[StageLayout], tables: EntropyTables, depths: np.ndarray
) -> np.ndarray:
    """Decode a payload to codes (channels, stages, frames), int32; the tables are known to fit the
    stages.

    `depths` (channels, frames) are the stages of each frame.
    """
    return decode_ranges([payload], stages, tables, [depths])[0]


def decode_ranges(
    payloads: Sequence[bytes],
    stages: Sequence[StageLayout],
    tables: EntropyTables,
    depths: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """What `decode_range` gives of payloads of equally many frames, which takes less time where
    tables have networks; a `BitstreamError` where it raises one.
    """
    split = [
        split_ends(payload, extremes(of_packet)[1])
        for payload, of_packet in zip(payloads, depths, strict=True)
    ]
    streams = [stream for _, stream in split]
    decoded = _decode_streams(streams, stages, tables, depths)
    for (ends, stream), (codes, places) in zip(split, decoded, strict=True):
        known = _encode_stages(codes, stages, tables)[1] if places is None else places
        if _ends_of(stream, known) != [*ends, len(stream)]:
            raise BitstreamError(
                "the range-coded payload or a stage of it ends where no encoder ends it"
            )
    return [codes for codes, _ in decoded]


def decode_stream(
    stream: bytes, stages: Sequence[StageLayout], tables: EntropyTables, depths: np.ndarray
) -> np.ndarray:
    """Decode a payload that has no ends of stages."""
    return _decode_streams([stream], stages, tables, [depths])[0][0]


def _decode_streams(
    streams: Sequence[bytes],
    stages: Sequence[StageLayout],
    tables: EntropyTables,
    depths: Sequence[np.ndarray],
) -> Sequence[tuple[np.ndarray, list[_Place] | None]]:
    """The codes of each, and where an encoder is after each stage, where the decoder tells."""
    try:
        if tables.has_networks:
            return decode_side_by_side(streams, stages, tables, depths)
        return [
            (_decode_by_tables(stream, stages, tables, of_packet), None)
            for stream, of_packet in zip(streams, depths, strict=True)
        ]
    except NoCodeError as error:
        raise BitstreamError(
            f"stage {error.stage} of the range-coded payload is no code of any index"
        ) from error


def _decode_by_tables(
    stream: bytes, stages: Sequence[StageLayout], tables: EntropyTables, depths: np.ndarray
) -> np.ndarray:
    constriction = _constriction()
    last = extremes(depths)[1]
    padded = stream + bytes(-len(stream) % _WORD_BYTES)
    decoder = constriction.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
    there = present(depths, len(stages))
    by_stage = np.full(there.shape, NONE, np.int32)
    previous = None
    for number, stage in enumerate(stages[:last]):
        try:
            words = _decode_words(decoder, tables, number, there[number], previous)
            positions = np.zeros_like(words)
            if stage.position_bits:
                inside = there[number] & (words < stage.codewords - 1)
                model = constriction.model.Uniform(1 << stage.position_bits)
                positions[inside] = decoder.decode(model, int(np.count_nonzero(inside)))
        except AssertionError as error:  # constriction's word for a point outside the last interval
            raise NoCodeError(number) from error
        by_stage[number] = np.where(there[number], words << stage.position_bits | positions, NONE)
        previous = words
    return np.ascontiguousarray(by_stage.swapaxes(0, 1))


def _ends_of(stream: bytes, places: list[_Place]) -> list[int]:
    return [_end(stream, words_before, low) for words_before, low in places]


def split_ends(payload: bytes, stages: int) -> tuple[list[int], bytes]:
    """Split a payload into the ends of all stages but the last, and the stream that they cut."""
    ends, end, start = [], 0, 0
    for _ in range(stages - 1):
        difference, start = take_varint(payload, start, _MAX_END_BYTES, "the ends of the stages")
        end += difference
        ends.append(end)
    stream = payload[start:]
    if end > len(stream):
        raise BitstreamError(
            f"the range-coded payload has {len(stream)} bytes, but a stage ends at byte {end}"
        )
    return ends, stream


def find_bad_ends(
    data: bytes, starts: np.ndarray, stops: np.ndarray, counts: np.ndarray
) -> dict[int, str]:
    """What `split_ends` finds wrong, by payload, those of many packets at once: they lie from
    `starts` to `stops` in `data`, and begin with `counts` ends.
    """
    are_sound = stops - starts >= counts
    some = np.flatnonzero(are_sound)
    array = np.frombuffer(data, np.uint8)
    are_sound[some] = _have_sound_ends(array, starts[some], stops[some], counts[some])
    found: dict[int, str] = {}
    for number in np.flatnonzero(~are_sound).tolist():
        try:
            split_ends(data[starts[number] : stops[number]], int(counts[number]) + 1)
        except BitstreamError as error:
            found[number] = str(error)
    return found


def _have_sound_ends(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Which payloads begin with so many varints of valid form, and have at least as many bytes
    behind them as these add up to.
    """
    last_bytes = np.append(np.flatnonzero(data < 0x80), len(data))  # of varints
    payload = np.repeat(np.arange(len(counts)), counts)  # of each end
    before = counts.cumsum() - counts
    rank = np.arange(len(payload)) + (np.searchsorted(last_bytes, starts) - before)[payload]
    last = last_bytes.take(rank, mode="clip")
    first = last_bytes.take(rank - 1, mode="clip") + 1
    first[before[counts > 0]] = starts[counts > 0]
    sizes = last + 1 - first
    values = np.zeros(len(first), np.int64)
    for place in range(_MAX_END_BYTES):
        byte = data.take(first + place, mode="clip").astype(np.int64) & 0x7F
        values += np.where(sizes > place, byte << 7 * place, 0)
    is_bad = (sizes > _MAX_END_BYTES) | (last >= stops[payload])
    is_bad |= (sizes > 1) & (data.take(last, mode="clip") == 0)
    ends_at = starts + np.bincount(payload, sizes + values, minlength=len(starts))
    return (ends_at <= stops) & (np.bincount(payload[is_bad], minlength=len(starts)) == 0)


def cut_range(payload: bytes, stages: int, keep: int) -> bytes:
    """Cut a payload to the first `keep` of `stages` stages, without tables."""
    ends, stream = split_ends(payload, stages)
    if keep < stages:
        stream = stream[: ends[keep - 1]]
    return _join(ends[: keep - 1], stream)


def _constriction() -> Any:
    """Import constriction when the first payload is range-coded; it has no types."""
    import constriction  # pyright: ignore[reportMissingTypeStubs]

    return constriction.stream  # pyright: ignore[reportAttributeAccessIssue]


class _RowModels(dict[int, Any]):
    """The entropy models of a table's rows, made when first used; probabilities are computed for
    all rows at once, which is faster.
    """

    def __init__(self, counts: np.ndarray) -> None:
        super().__init__()
        self._probabilities = np.diff(cumulative_frequencies(counts)) - 1.0

    def __missing__(self, row: int) -> Any:
        model = _constriction().model.Categorical(self._probabilities[row], perfect=False)
        self[row] = model
        return model


_MODELS: WeakKeyDictionary[StageTable, _RowModels] = WeakKeyDictionary()


def _models_of(table: StageTable) -> _RowModels:
    models = _MODELS.get(table)
    if models is None:
        models = _MODELS[table] = _RowModels(table.counts)
    return models


def _encode_words(encoder: Any, tables: EntropyTables, so_far: list[np.ndarray]) -> None:
    """Encode the codewords (channels, frames) of the last stage of `so_far` but for NONE."""
    number, words = len(so_far) - 1, so_far[-1]
    table = tables.stages[number]
    if isinstance(table, StageNetwork):
        _encode_intervals(encoder, *tables.intervals(so_far))
        return
    models = _models_of(table)
    if table.source == "previous_frame":
        shift = tables.context_shift(number)
        for channel in words.tolist():
            _encode_chain(encoder, models, table.start_context, shift, channel)
    elif table.source == "none":
        encoder.encode(words[words != NONE], models[0])
    else:
        shift, previous = tables.context_shift(number), so_far[-2]
        for word, before in zip(words.ravel().tolist(), previous.ravel().tolist(), strict=True):
            if word != NONE:
                encoder.encode(word, models[before >> shift])


def _encode_chain(
    encoder: Any, models: _RowModels, start_row: int, shift: int, words: list[int]
) -> None:
    """Encode codewords each of which selects the row of the next."""
    row = start_row
    for word in words:
        if word == NONE:
            row = start_row
        else:
            encoder.encode(word, models[row])
            row = word >> shift


def _encode_intervals(encoder: Any, lows: np.ndarray, highs: np.ndarray) -> None:
    """Encode symbols by the bounds of their shares alone: each as one of three, the others being
    what lies below and above it.
    """
    total = 1 << PRECISION_BITS
    below = np.where(lows > 0, lows, highs)
    own = np.where(lows > 0, highs - lows, (total - highs) >> 1)
    is_last = highs == total  # nothing lies above it: below it are two
    own[is_last] = lows[is_last] - (below[is_last] >> 1)
    below[is_last] >>= 1
    thirds = np.stack([below, own, total - below - own], axis=1)
    symbols = np.where(is_last, 2, lows > 0).astype(np.int32)
    encoder.encode(symbols, _constriction().model.Categorical(perfect=False), thirds - 1.0)


def _decode_words(
    decoder: Any, tables: EntropyTables, number: int, there: np.ndarray, previous: np.ndarray | None
) -> np.ndarray:
    """Decode the codewords (channels, frames) of stage `number`, NONE where they are not
    `there`.
    """
    table = tables.stages[number]
    assert isinstance(table, StageTable)
    models = _models_of(table)
    words = np.full(there.shape, NONE, np.int32)
    if table.source == "previous_frame":
        shift = tables.context_shift(number)
        for channel, places in zip(words, there, strict=True):
            channel[...] = _decode_chain(
                decoder, models, table.start_context, shift, places.tolist()
            )
    elif table.source == "none":
        words[there] = decoder.decode(models[0], int(np.count_nonzero(there)))
    else:
        assert previous is not None
        rows = tables.rows(number, previous, previous)
        words[there] = [decoder.decode(models[row]) for row in rows[there].tolist()]
    return words


def _decode_chain(
    decoder: Any, models: _RowModels, start_row: int, shift: int, there: list[bool]
) -> list[int]:
    """Decode codewords each of which selects the row of the next."""
    words, row = [], start_row
    for is_there in there:
        word = decoder.decode(models[row]) if is_there else NONE
        words.append(word)
        row = word >> shift if is_there else start_row
    return words


def _low(encoder: Any) -> bytes:
    """Return the low end of the encoder's interval, big-endian: the least fraction that decodes to
    all that was encoded.

    `constriction` shows its state's 64 bits of it, and, sealed, all words up to the first 32 of
    those, rounded up.
    """
    words_before, (low_state, _) = encoder.pos()
    sealed = encoder.get_compressed()[: words_before + 1].astype(">u4").tobytes()
    rounded_up = int.from_bytes(sealed, "big") << _WORD_BITS
    low = rounded_up - (-low_state) % (1 << _WORD_BITS)
    return low.to_bytes(_WORD_BYTES * words_before + _STATE_BYTES, "big")


def _shortest(low: bytes, interval: int) -> bytes:
    """Return the fraction in [low, low + interval) with the most zero bytes at its end, which need
    not be stored.
    """
    least = int.from_bytes(low, "big")
    if not least:
        return b""
    below, last = least - 1, least + interval - 1
    place = (
        below ^ last
    ).bit_length() - 1 & -8  # of the first byte that differs: all before are in every fraction
    shortest = -(-least >> place) << place
    return shortest.to_bytes(len(low), "big").rstrip(b"\0")


def _end(stream: bytes, words_before: int, low_state: int) -> int:
    """Return the length of the shortest prefix of `stream` which, read as a fraction, is at least
    the encoder's low at this point.

    Of that, only the 64 bits behind `words_before` words are needed. The words before are those of
    the stream, which lies less than 2^64 above; unless its 64 bits are lower: then they have since
    been raised by one.
    """
    start = _WORD_BYTES * words_before
    here = int.from_bytes(stream[start : start + _STATE_BYTES].ljust(_STATE_BYTES, b"\0"), "big")
    if here < low_state or not low_state:
        return len(stream[:start].rstrip(b"\0"))
    all_of_it = len(low_state.to_bytes(_STATE_BYTES, "big").rstrip(b"\0"))
    until_larger = _STATE_BYTES - ((here ^ low_state).bit_length() - 1) // 8
    return start + min(all_of_it, until_larger)


def _join(ends: Iterable[int], stream: bytes) -> bytes:
    return b"".join(_differences(ends)) + stream


def _differences(ends: Iterable[int]) -> Iterator[bytes]:
    last = 0
    for end in ends:
        yield encode_varint(end - last)
        last = end
