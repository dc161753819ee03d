"""Codes as arrays: to sound, to vectors, and the same ones by every way of making them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch
from synthesis import synthesize_speech

from codec import BitstreamError, Codec, ConfigError, StreamReader
from codec.torch_module import DiveqCodecModel

RATE = 16_000


@pytest.fixture(scope="module", params=["torch", "onnx"])
def tiny(request, tiny_model) -> Codec:
    return Codec.load(tiny_model, device="cpu", backend=request.param)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Speech that is longer than the window of 10 s, and clips that end within a frame."""
    speech = synthesize_speech(12.5, seed=4)
    return [speech, speech[: 5 * RATE + 7], speech[RATE : 4 * RATE], speech[:100]]


@pytest.mark.parametrize("options", [{}, {"stages": 2}, {"bitrate_kbps": 0.7}])
def test_the_same_codes_alone_in_a_batch_and_from_a_file(tiny, tiny_model, clips, options):
    alone = [tiny.encode(clip, sample_rate_hz=RATE, **options).codes for clip in clips]
    other_backend = Codec.load(
        tiny_model, device="cpu", backend="onnx" if "Torch" in network_of(tiny) else "torch"
    )
    batch = tiny.encode_batch(clips, sample_rate_hz=RATE, **options)
    for clip, codes, of_batch in zip(clips, alone, batch, strict=True):
        assert codes.shape[2] == -(-len(clip) // tiny.config.hop)
        np.testing.assert_array_equal(of_batch.codes, codes)
        np.testing.assert_array_equal(
            other_backend.encode(clip, sample_rate_hz=RATE, **options).codes, codes
        )
        np.testing.assert_array_equal(codes_of_file(tiny, clip, options), codes)


def network_of(codec: Codec) -> str:
    return type(codec._runner.network).__name__


def codes_of_file(codec: Codec, clip: np.ndarray, options: dict) -> np.ndarray:
    sound, stream = io.BytesIO(), io.BytesIO()
    soundfile.write(sound, clip, RATE, format="WAV", subtype="FLOAT")
    sound.seek(0)
    codec.encode_file(sound, stream, **options)
    stream.seek(0)
    packets = [packet.codes for packet in StreamReader(stream).packets(codec.tables)]
    return np.concatenate(packets, axis=2)  # pyright: ignore[reportCallIssue]


def test_the_torch_module_has_these_codes_too_padded_or_not(tiny_model, clips):
    codec, module = (
        Codec.load(tiny_model, device="cpu", backend="onnx"),
        DiveqCodecModel.from_pretrained(tiny_model),
    )
    padded, mask = torch.zeros(len(clips), len(clips[0])), torch.zeros(len(clips), len(clips[0]))
    for row, clip in enumerate(clips):
        padded[row, : len(clip)], mask[row, : len(clip)] = torch.from_numpy(clip), 1
    padded[mask == 0] = 0.5  # what lies there is not heard
    together = module.encode(padded, mask).audio_codes.numpy()
    for clip, codes in zip(clips, together, strict=True):
        expected = codec.encode(clip, sample_rate_hz=RATE).codes[0]
        frames = expected.shape[1]
        np.testing.assert_array_equal(codes[:, :frames], expected)
        assert (codes[:, frames:] == -1).all()


@pytest.mark.parametrize(
    "kind", [np.asarray, torch.from_numpy, lambda codes: codes.astype(np.int64), np.ndarray.tolist]
)
def test_codes_alone_decode_as_their_stream_does(tiny, clips, kind):
    encoded = tiny.encode(clips[1], sample_rate_hz=RATE, bitrate_kbps=0.7)
    assert (encoded.codes == -1).any()
    expected = tiny.decode(encoded).wave
    for codes in (encoded.codes, encoded.codes[0]):
        audio = tiny.decode_codes(kind(codes))
        assert (audio.sample_rate_hz, audio.wave.shape) == (
            RATE,
            (1, encoded.frames * tiny.config.hop),
        )
        np.testing.assert_array_equal(audio.wave[:, : expected.shape[1]], expected)


def test_another_rate_channels_and_fewer_stages(tiny, clips):
    both = np.stack([clips[2], -clips[2]])
    codes = tiny.encode(both, sample_rate_hz=RATE).codes
    audio = tiny.decode_codes(codes[:, :2], sample_rate_hz=8000)
    assert (audio.sample_rate_hz, audio.wave.shape) == (8000, (2, 24_000))
    encoded = tiny.encode(both, sample_rate_hz=RATE)
    np.testing.assert_array_equal(
        audio.wave, tiny.decode(encoded, sample_rate_hz=8000, stages=2).wave
    )


def test_a_padded_batch(tiny, clips):
    codes = [tiny.encode(clip, sample_rate_hz=RATE).codes[0] for clip in clips[1:]]
    lengths = [clip.shape[1] for clip in codes]
    padded = np.full((len(codes), 4, max(lengths)), -1)
    for row, clip in zip(padded, codes, strict=True):
        row[:, : clip.shape[1]] = clip
    for given in (lengths, torch.tensor(lengths)):
        for audio, clip in zip(tiny.decode_codes(padded, lengths=given), codes, strict=True):
            np.testing.assert_allclose(audio.wave, tiny.decode_codes(clip).wave, rtol=0, atol=1e-5)
    assert tiny.decode_codes(padded[:0], lengths=np.zeros(0, int)) == []


def test_positions_of_curves(tiny_sf_model, clips):
    codec = Codec.load(tiny_sf_model, device="cpu")
    encoded = codec.encode(clips[2], sample_rate_hz=RATE, position_bits=2)
    audio = codec.decode_codes(encoded.codes, position_bits=2)
    np.testing.assert_array_equal(audio.wave, codec.decode(encoded).wave)


@pytest.mark.parametrize("position_bits", [0, 3])
def test_latents_are_what_the_quantizer_decodes(tiny_sf_model, clips, position_bits):
    codec = Codec.load(tiny_sf_model, device="cpu", backend="onnx")
    codes = codec.encode(clips[2], sample_rate_hz=RATE, position_bits=position_bits).codes.copy()
    codes[:, 2:, ::3] = -1
    quantizer = DiveqCodecModel.from_pretrained(tiny_sf_model).model.quantizer
    expected = quantizer.decode(torch.from_numpy(codes).long(), [position_bits] * 4).numpy()
    latents = codec.latents(codes, position_bits=position_bits)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_latents_are_sums_of_rows_of_codebooks(tiny, clips):
    codes = tiny.encode(clips[2], sample_rate_hz=RATE).codes
    assert [codebook.shape for codebook in tiny.codebooks] == [
        (stage.codewords, tiny.config.latent_channels) for stage in tiny.config.stages
    ]
    rows = [codebook[stage] for codebook, stage in zip(tiny.codebooks, codes[0], strict=True)]
    np.testing.assert_allclose(tiny.latents(codes)[0], np.sum(rows, axis=0).T, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("codes", "fault"),
    [
        ([[0.5, 1.0]], "whole numbers, not float64"),
        ([1, 2, 3], r"shape \(stages, frames\) or \(channels, stages, frames\), not \(3,\)"),
        ([[1, 2], [3]], "different lengths are one array with -1"),
        ([[1 << 40]], "index 2147483647 .* is outside 0 to"),
        ([[1, -2]], "index -2 .* is outside"),
        ([[1, 1], [-1, 1], [1, 1]], "a stage before another is missing"),
    ],
)
def test_what_is_no_codes_is_refused(tiny, codes, fault):
    with pytest.raises(BitstreamError, match=fault):
        tiny.decode_codes(codes)
    with pytest.raises(BitstreamError, match=fault):
        tiny.latents(codes)


def test_what_does_not_fit_the_model_is_refused(tiny):
    with pytest.raises(ConfigError, match="has stages 1 to 4, not 5"):
        tiny.decode_codes(np.zeros((5, 2), int))
    with pytest.raises(BitstreamError, match="stages 1 to 4, these codes have 5"):
        tiny.latents(np.zeros((5, 2), int))
    with pytest.raises(BitstreamError, match=r"lengths are 0 to 3 frames, not 1 to 4"):
        tiny.decode_codes(np.zeros((2, 4, 3), int), lengths=[1, 4])
    with pytest.raises(
        BitstreamError, match=r"lengths has the shape \(batch,\), here \(2,\), not \(3,\)"
    ):
        tiny.decode_codes(np.zeros((2, 4, 3), int), lengths=[1, 2, 3])
    with pytest.raises(BitstreamError, match=r"\(batch, stages, frames\), not \(4, 3\)"):
        tiny.decode_codes(np.zeros((4, 3), int), lengths=[1])


def test_no_frames_are_no_sound(tiny):
    assert tiny.decode_codes(np.zeros((4, 0), int)).wave.shape == (1, 0)
    assert tiny.latents(np.zeros((4, 0), int)).shape == (1, tiny.config.latent_channels, 0)
