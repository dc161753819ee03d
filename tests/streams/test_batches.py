"""Many clips at once give what each gives by itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthesis import synthesize_speech

from codec import BitstreamError, Codec
from codec.layouts.receptive_field import Context
from codec.streams.batches import batched

KERNEL = np.array([1.0, -2.0, 3.0, 5.0, -7.0])
LENGTHS = [3200, 0, 320, 50_000, 1, 16_000, 15_999, 15_000, 700, 47_000, 16_000, 4799]


def layered(items: np.ndarray, _first_frame: object = 0) -> np.ndarray:
    """Two filters with an offset between them, in integers' exact arithmetic: a frame sees 6 before
    and 2 after.

    Zeros behind the end of the input are not what the second filter sees behind the end of its own.
    """
    for _ in range(2):
        padded = np.pad(items, [(0, 0)] * (items.ndim - 1) + [(3, 1)])
        items = np.stack([padded[..., i : i + items.shape[-1]] for i in range(5)], -1) @ KERNEL + 11
    return items


@given(lengths=st.lists(st.integers(1, 40), max_size=12), most_frames=st.integers(1, 120))
def test_batches_of_any_size_equal_one_by_one(lengths, most_frames):
    clips = [np.arange(length * 3, dtype=np.float64).reshape(3, length) % 7 for length in lengths]
    largest = 0

    def compute(batch: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        nonlocal largest
        largest = max(largest, batch.shape[0] * batch.shape[-1])
        return layered(batch)

    results = batched(clips, compute, context=Context(before=6, after=2), most_frames=most_frames)
    assert len(results) == len(clips)
    for clip, result in zip(clips, results, strict=True):
        np.testing.assert_array_equal(result, layered(clip))
    assert largest <= most_frames + 8  # a long clip's window has its context besides


def test_items_and_outputs_per_frame():
    def doubled(batch: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        return layered(batch.reshape(len(batch), -1, 4).sum(2)).repeat(2, axis=1)

    clips = [np.arange(4 * length, dtype=np.float64) % 5 for length in (9, 30, 29, 25)]
    results = batched(
        clips,
        doubled,
        context=Context(before=6, after=2),
        most_frames=200,
        items_per_frame=4,
        outputs_per_frame=2,
    )
    for clip, result in zip(clips, results, strict=True):
        np.testing.assert_array_equal(result, doubled(clip[None])[0])


def test_clips_of_like_length_share_a_batch_and_others_do_not():
    shapes = []

    def compute(batch: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        shapes.append(batch.shape)
        return layered(batch)

    clips = [np.zeros(length) for length in (40, 38, 20, 20, 5, 6)]
    batched(clips, compute, context=Context(before=6, after=2), most_frames=1000)
    assert shapes == [(2, 40), (2, 20), (1, 6), (1, 5), (1, 8)]


def test_ends_of_all_batches_are_computed_together():
    shapes = []

    def compute(batch: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        shapes.append(batch.shape)
        return layered(batch)

    clips = [np.arange(length, dtype=np.float64) % 5 for length in (40, 38, 20, 19, 18, 8, 8)]
    results = batched(clips, compute, context=Context(before=6, after=2), most_frames=80)
    for clip, result in zip(clips, results, strict=True):
        np.testing.assert_array_equal(result, layered(clip))
    assert shapes == [
        (2, 40),
        (3, 20),
        (2, 8),
        (3, 8),
    ]  # the last: of the three that are not their batch's longest


def test_each_clip_of_a_batch_knows_where_it_begins():
    def numbered(batch: np.ndarray, first_frames: np.ndarray) -> np.ndarray:
        return batch + first_frames[:, None] + np.arange(batch.shape[1])

    clips = [np.zeros(length) for length in (40, 38, 20, 19, 18, 8, 300)]
    for clip, result in zip(
        clips,
        batched(clips, numbered, context=Context(before=6, after=2), most_frames=80),
        strict=True,
    ):
        np.testing.assert_array_equal(result, np.arange(len(clip)))


def test_a_last_frame_that_is_not_whole_is_filled_with_zeros():
    def framed(batch: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        return layered(batch.reshape(len(batch), -1, 4).sum(2))

    clips = [1 + np.arange(length, dtype=np.float64) % 5 for length in (1, 41, 40, 39, 400)]
    results = batched(
        clips, framed, context=Context(before=6, after=2), most_frames=20, items_per_frame=4
    )
    for clip, result in zip(clips, results, strict=True):
        np.testing.assert_array_equal(result, framed(np.pad(clip, (0, -len(clip) % 4))[None])[0])


@pytest.fixture(scope="module", params=["torch", "onnx"])
def tiny(request, tiny_sf_model) -> Codec:
    return Codec.load(tiny_sf_model, device="cpu", backend=request.param)


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    speech = synthesize_speech(4.0, seed=2)
    waves = [speech[start : start + length] for start, length in enumerate(LENGTHS)]
    return [*waves, np.stack([speech[:9000], speech[9000:18_000]])]


@pytest.mark.parametrize("batch_seconds", [0.5, 3.0, 60.0])
def test_a_batch_of_clips_is_coded_as_each_alone(tiny, waves, batch_seconds):
    options = {"sample_rate_hz": 22_050, "stages": 3, "position_bits": 1}
    together = tiny.encode_batch(waves, **options, batch_seconds=batch_seconds)
    alone = [tiny.encode(wave, **options) for wave in waves]
    assert [clip.to_bytes() for clip in together] == [clip.to_bytes() for clip in alone]

    sources = [clip if number % 2 else clip.to_bytes() for number, clip in enumerate(together)]
    heard = tiny.decode_batch(
        sources, sample_rate_hz="model", stages=2, batch_seconds=batch_seconds
    )
    for audio, clip in zip(heard, alone, strict=True):
        expected = tiny.decode(clip, sample_rate_hz="model", stages=2)
        assert audio.sample_rate_hz == expected.sample_rate_hz == 16_000
        np.testing.assert_allclose(audio.wave, expected.wave, rtol=0, atol=1e-5)


def test_streams_of_different_layouts_decode_in_one_call(tiny, waves, tmp_path):
    wave = waves[3]
    clips = [
        tiny.encode(wave, sample_rate_hz=16_000, stages=stages, position_bits=bits)
        for stages, bits in ((4, 0), (2, 3), (4, 1), (1, 0))
    ]
    clips[0].save(tmp_path / "first.dvq")
    sources = [tmp_path / "first.dvq", *clips[1:3], io.BytesIO(clips[3].to_bytes())]
    for audio, clip in zip(tiny.decode_batch(sources), clips, strict=True):
        np.testing.assert_allclose(audio.wave, tiny.decode(clip).wave, rtol=0, atol=1e-5)


def test_clips_whose_streams_have_different_stages_encode_in_one_call(tiny, waves):
    """At this bitrate one channel has room for a number of stages, eight only for one."""
    options = {"sample_rate_hz": 16_000, "bitrate_kbps": 0.3174}
    clips = [waves[3], np.tile(waves[3], (8, 1)), waves[5]]
    alone = [tiny.encode(clip, **options) for clip in clips]
    assert len(alone[0].header.stages) > len(alone[1].header.stages)
    together = tiny.encode_batch(clips, **options)
    assert [clip.to_bytes() for clip in together] == [clip.to_bytes() for clip in alone]


def test_nothing_is_a_batch_too_and_faults_are_told(tiny, tiny_model):
    assert tiny.encode_batch([], sample_rate_hz=16_000) == []
    assert tiny.decode_batch([]) == []
    encoded = tiny.encode_batch([torch.zeros(400)], sample_rate_hz=16_000, stages=2)[0]
    with pytest.raises(BitstreamError, match="has 2 stages"):
        tiny.decode_batch([encoded], stages=3)
    with pytest.raises(BitstreamError, match="coded with the model"):
        Codec.load(tiny_model, device="cpu").decode_batch([encoded])
    damaged = bytearray(encoded.to_bytes())
    damaged[-3] ^= 1
    with pytest.raises(BitstreamError):
        tiny.decode_batch([bytes(damaged)])
