"""Times neural peers without weights: random ones are as fast, and nothing they decode is
scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from codec.errors import AudioError
from codec.evaluation.result import Clip, Evaluation, System
from codec.evaluation.signal import Source
from codec.evaluation.summary import summarise

from .neural import Layout, NeuralModel, code, load, threads, warm_up

NOTE = "random weights: timed only"
_TIMED_SECONDS = 30


def timed_system(layout: Layout, sources: Sequence[Source], evaluation: Evaluation) -> System:
    """The speed of a codec on the first half minute of the originals, as a system of the
    evaluation.

    Raises:
        ConfigError: Its package is not installed.
    """
    torch.manual_seed(0)
    model = load(layout, None)
    warm_up(layout, model)
    seconds, encode_seconds, decode_seconds = _measure(layout, model, sources)
    clips = tuple(Clip(name=reference.name, failure=NOTE) for reference in evaluation.references)
    return System(
        name=layout.family,
        family=layout.family,
        clips=clips,
        means=summarise(clips, evaluation.metrics),
        encode_speed=seconds / encode_seconds if seconds else None,
        decode_speed=seconds / decode_seconds if seconds else None,
        note=f"{NOTE}, at {layout.kbps[layout.timed_codebooks]:g} kbps, {threads()}",
    )


def _measure(
    layout: Layout, model: NeuralModel, sources: Sequence[Source]
) -> tuple[float, float, float]:
    """Seconds of audio, and those that encoding and decoding took; of whole clips."""
    spent = [0.0, 0.0, 0.0]
    for source in sources:
        if spent[0] >= _TIMED_SECONDS:
            break
        try:
            wave = source.read().at(layout.sample_rate_hz).wave[0]
            coded = code(layout, model, wave, layout.timed_codebooks)
        except AudioError:
            continue
        spent[0] += len(wave) / layout.sample_rate_hz
        spent[1] += coded.encode_seconds
        spent[2] += coded.decode_seconds
    return spent[0], spent[1], spent[2]
