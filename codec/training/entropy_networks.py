"""Fits the networks of entropy tables: trained as usual, then rounded to integers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..bitstream import NONE, EntropyTables, NetworkLayer, StageNetwork
from ..bitstream.entropy_network import SCORES_PER_OCTAVE

FEWEST_FRAMES = 20_000
MOST_STAGES = 6  # that have a network: the later ones hold less, and each takes time to code
_OWN_STAGES = 4  # the first stages also see themselves in frames before, which takes more time
_BEFORE, _AFTER = 2, 2  # frames that are seen
_HIDDEN = (256, 64)
_BATCH, _PASSES, _MOST_STEPS = 512, 15, 8000
_LEARNING_RATE, _WEIGHT_DECAY = 2e-3, 1e-2
_HELD_OUT_EVERY = 8  # clips
_FEWEST_BITS = 2  # of a codebook that has a network
_FITTING_SHARE = 0.8  # of a stage's time; then it is measured
_LEAST_GAIN = 0.02  # of the bits of the table that a network replaces
_LARGEST_WEIGHT, _LARGEST_UNIT = 127, 255
_MOST_CLIPPED = 1e-3  # of the values of a hidden layer
_CALIBRATION_FRAMES = 8192


def add_networks(
    tables: EntropyTables,
    codes: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    *,
    packet_frames: int,
    stages: int = MOST_STAGES,
    until: float = math.inf,
    report: Callable[[str], None] = print,
    progress: Callable[[float, int], None] = lambda done, stages: None,
) -> EntropyTables:
    """Replace the tables of the first stages by networks, as far as these save bits.

    Args:
        tables: fitted to the same codes.
        codes: integer arrays (versions, stages, frames), one per clip, with NONE where frames have
            no more stages.
        points: vectors (codewords, dims) of each stage's codewords, which the networks see in
            their place.
        packet_frames: of the packets that files will have.
        stages: how many may have a network.
        until: when to be done (`time.monotonic`), with networks that were trained less, or fewer.
        report: is told of each network.
        progress: is told how many stages are done, the part of one too, and of how many.

    Returns:
        Other tables; the same where there are fewer than `FEWEST_FRAMES` frames.
    """
    frames = sum(clip.shape[0] * clip.shape[2] for clip in codes)
    if frames < FEWEST_FRAMES or len(codes) < _HELD_OUT_EVERY:
        return tables
    rng = np.random.default_rng(frames)
    packets = [list(_packets(clip, packet_frames, rng)) for clip in codes]
    held_out = [packet for clip in packets[1::_HELD_OUT_EVERY] for packet in clip]
    fitted = [p for n, clip in enumerate(packets) if n % _HELD_OUT_EVERY != 1 for p in clip]
    grid = [_as_integers(stage) for stage in points[:stages]]
    words = _side_by_side(fitted)
    networks: list[StageNetwork] = []
    for number in range(len(grid)):
        if tables.stages[number].codebook_bits < _FEWEST_BITS or monotonic() >= until:
            break
        left = len(grid) - number
        network = _fit(
            number,
            words,
            grid,
            seconds=_FITTING_SHARE * (until - monotonic()) / left,
            progress=lambda part, done=number: progress(done + part, len(grid)),
        )
        used = [packet for packet in held_out if (packet[number] != NONE).any()]
        count = sum(np.count_nonzero(packet[number] != NONE) for packet in used)
        spent = _code_length(EntropyTables((*networks, network)), number, used) / count
        before = _code_length(tables, number, used) / count
        report(f"stage {number + 1}: {spent:.2f} bits a codeword, {before:.2f} by a table")
        if spent > before * (1 - _LEAST_GAIN):
            break
        networks.append(StageNetwork(network.points, network.sees, network.layers, spent))
    progress(len(grid), len(grid))
    return EntropyTables((*networks, *tables.stages[len(networks) :]))


def _packets(
    clip: np.ndarray, packet_frames: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Cut a clip's versions into packets (stages, frames), of which the first may be short."""
    for version in clip:
        stops = range(int(rng.integers(1, packet_frames + 1)), version.shape[1], packet_frames)
        for packet in np.split(version, stops, axis=1):
            if (packet[0] != NONE).any():
                yield packet


def _as_integers(points: np.ndarray) -> np.ndarray:
    """Points as 8-bit integers, with one more dimension that tells a codeword from none."""
    scaled = np.rint(points * (_LARGEST_WEIGHT / np.abs(points).max()))
    usual = round(_size(scaled))
    return np.pad(scaled.astype(np.int8), [(0, 0), (0, 1)], constant_values=usual)


def _size(points: np.ndarray) -> float:
    """The root of their mean square."""
    return float(np.sqrt(np.square(points.astype(np.float64)).mean()))


def _side_by_side(packets: Sequence[np.ndarray]) -> Tensor:
    """Packets as one (stages, frames), with room between them that nothing sees across."""
    margin = np.full((len(packets[0]), max(_BEFORE, _AFTER)), NONE)
    rows = [margin]
    for packet in packets:
        rows += [packet, margin]
    return torch.from_numpy(np.concatenate(rows, axis=1)).long()


def _code_length(tables: EntropyTables, number: int, packets: Sequence[np.ndarray]) -> float:
    """Bits of stage `number` of all packets."""
    return sum(
        tables.word_length_bits([packet[None, stage] for stage in range(number + 1)])
        for packet in packets
    )


def _seen(number: int) -> list[tuple[int, int]]:
    """(frames ahead, stage) of what the network of a stage sees."""
    frames = range(-_BEFORE, _AFTER + 1)
    others = [(ahead, stage) for stage in range(number) for ahead in frames]
    own = [(ahead, number) for ahead in range(-_BEFORE, 0)] if number < _OWN_STAGES else []
    return others + own


def _fit(
    number: int,
    words: Tensor,
    points: Sequence[np.ndarray],
    *,
    seconds: float,
    progress: Callable[[float], None],
) -> StageNetwork:
    """Train the network of stage `number` on codewords (stages, frames) for at most so long, and
    round it.
    """
    seen = _seen(number)
    unit = _size(points[0])  # inputs are near 1 in training
    vectors = [torch.from_numpy(np.concatenate([p, p[:1] * 0]) / unit).float() for p in points]
    codewords = len(points[number])
    frames = torch.nonzero(words[number] != NONE)[:, 0]

    def inputs(some: Tensor) -> Tensor:
        return torch.cat([vectors[s][words[s, some + ahead]] for ahead, s in seen], dim=1)

    size = sum(vectors[stage].shape[1] for _, stage in seen)
    generator = torch.Generator().manual_seed(number)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        layers = [
            nn.Linear(first, second)
            for first, second in itertools.pairwise([size, *_HIDDEN, codewords])
        ]
    shares = torch.bincount(words[number, frames], minlength=codewords).float() + 1
    nn.init.normal_(layers[-1].weight, std=0.1, generator=generator)
    with torch.no_grad():
        layers[-1].bias.copy_(torch.log(shares / shares.sum()))
    model = nn.Sequential(*itertools.chain(*((layer, nn.ReLU()) for layer in layers)))[:-1]
    steps = min(_MOST_STEPS, max(1, _PASSES * words.shape[1] // _BATCH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    begun = monotonic()
    for step in range(steps):
        done = max(step / steps, (monotonic() - begun) / seconds)
        if done >= 1:
            break
        progress(done)
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - done)
        some = frames[torch.randint(len(frames), (_BATCH,), generator=generator)]
        loss = functional.cross_entropy(model(inputs(some)), words[number, some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    some = frames[torch.randint(len(frames), (_CALIBRATION_FRAMES,), generator=generator)]
    with torch.no_grad():
        rounded = _rounded(layers, inputs(some), unit)
    return StageNetwork(points[number], np.array(seen, np.int32), rounded, math.log2(codewords))


def _rounded(layers: Sequence[nn.Linear], inputs: Tensor, scale: float) -> tuple[NetworkLayer, ...]:
    """Layers as integers, whose inputs were 1 / `scale` of integers. Each has one scale for its
    weights, and those of hidden units are chosen so that few of the values that `inputs` give are
    clipped.
    """
    values, rounded = inputs, []
    for layer in layers[:-1]:
        values = functional.relu(layer(values))
        weight_scale = _LARGEST_WEIGHT / float(layer.weight.abs().max())
        largest = float(values.flatten().sort().values[int(-_MOST_CLIPPED * values.numel()) - 1])
        sums_scale = scale * weight_scale
        shift = max(0, math.ceil(math.log2(sums_scale * max(largest, 1e-6) / _LARGEST_UNIT)))
        rounded.append(_layer(layer.weight, layer.bias, weight_scale, sums_scale, shift))
        scale = sums_scale / 2**shift
    last = layers[-1]
    # A constant score changes nothing: a middle one leaves the sums the most room.
    bias = last.bias - (last.bias.max() + last.bias.min()) / 2
    score_scale = SCORES_PER_OCTAVE / math.log(2)
    finest = scale * _LARGEST_WEIGHT / float(last.weight.abs().max())
    shift = max(0, math.floor(math.log2(finest / score_scale)))
    sums_scale = score_scale * 2**shift
    return (*rounded, _layer(last.weight, bias, sums_scale / scale, sums_scale, shift))


def _layer(
    weight: Tensor, bias: Tensor, weight_scale: float, bias_scale: float, shift: int
) -> NetworkLayer:
    """A layer whose shift rounds to the nearest."""
    half = 1 << shift >> 1
    weights = torch.round(weight.T * weight_scale).clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
    biases = torch.round(bias * bias_scale) + half
    return NetworkLayer(weights.to(torch.int8).numpy(), biases.to(torch.int32).numpy(), shift)
