"""The public verbs: what goes in comes out with the same codes, length, rate and channels, whatever
its size.
"""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis import synthesize_speech

import codec.streams.runner
from codec import (
    AudioError,
    BitstreamError,
    CheckpointError,
    Codec,
    ConfigError,
    StreamReader,
    cut,
    verify,
)
from codec.audio.high_pass import HighPass
from codec.bitstream import (
    NONE,
    EntropyTables,
    NetworkLayer,
    StageLayout,
    StageNetwork,
    fit_tables,
)
from codec.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Codec:
    return Codec.load(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def tiny_sf(tiny_sf_model) -> Codec:
    return Codec.load(tiny_sf_model, device="cpu")


def wave_of(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    waves = [
        synthesize_speech(samples / 16_000, seed=seed + channel) for channel in range(channels)
    ]
    return np.stack(waves).reshape(channels, samples)


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    return 10 * np.log10(np.square(reference).sum() / np.square(reference - estimate).sum())


@given(
    samples=st.one_of(st.integers(0, 700), st.integers(16_000, 24_000)),
    channels=st.integers(1, 3),
    rate=st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000, 11_111]),
)
@settings(max_examples=12, deadline=None)
def test_length_channels_and_rate_are_kept(tiny, samples, channels, rate):
    encoded = tiny.encode(wave_of(samples, channels), sample_rate_hz=rate)
    model_samples = -(-samples * 16_000 // rate)
    assert encoded.codes.shape == (channels, 4, -(-model_samples // 320))
    audio = tiny.decode(encoded.to_bytes())
    assert audio.wave.shape == (channels, samples)
    assert audio.sample_rate_hz == rate
    assert tiny.decode(encoded, sample_rate_hz="model").wave.shape == (channels, model_samples)
    assert tiny.decode(encoded, sample_rate_hz=24_000).wave.shape == (
        channels,
        -(-samples * 24_000 // rate),
    )


def test_the_file_decodes_to_the_models_own_reconstruction(tiny):
    wave = wave_of(50 * 320)
    encoded = tiny.encode(wave, sample_rate_hz=16_000)
    heard = torch.from_numpy(HighPass(16_000).push(wave))
    with torch.inference_mode():
        codes = tiny._runner.network.model.encode(heard[:, None], [0] * 4)
        expected = tiny._runner.network.model.decode(codes, [0] * 4)[:, 0].numpy()
    np.testing.assert_array_equal(encoded.codes, codes.numpy())
    np.testing.assert_allclose(tiny.decode(encoded.to_bytes()).wave, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(
        np.concatenate(  # pyright: ignore[reportCallIssue]
            [packet.codes for packet in StreamReader(io.BytesIO(encoded.to_bytes())).packets()], -1
        ),
        encoded.codes,
    )


def test_an_offset_changes_no_code(tiny):
    wave = wave_of(50 * 320, channels=2)
    offset = (wave + np.array([[0.125], [-0.25]])).astype(np.float32)
    codes = [tiny.encode(one, sample_rate_hz=16_000).codes for one in (wave, offset)]
    # 24 bits of a sample are fewer with an offset; it takes a tenth of a second to go
    assert np.mean(codes[0][..., 6:] != codes[1][..., 6:]) < 0.01


@pytest.mark.parametrize("seconds", [0.1, 0.37, 1, 3])
def test_windows_change_nothing(tiny, monkeypatch, seconds):
    wave = wave_of(77_777, channels=2)
    whole = tiny.encode(wave, sample_rate_hz=44_100)
    heard = tiny.decode(whole).wave
    monkeypatch.setattr(codec.streams.runner, "WINDOW_SECONDS", seconds)
    pieces = tiny.encode(wave, sample_rate_hz=44_100)
    np.testing.assert_array_equal(pieces.codes, whole.codes)
    np.testing.assert_allclose(tiny.decode(pieces).wave, heard, rtol=0, atol=1e-5)


def test_channels_are_coded_by_themselves(tiny):
    wave = wave_of(20_000, channels=3)
    codes = tiny.encode(wave, sample_rate_hz=16_000).codes
    for channel in range(3):
        np.testing.assert_array_equal(
            tiny.encode(wave[channel], sample_rate_hz=16_000).codes[0], codes[channel]
        )


def test_files_hold_what_memory_holds(tiny, tmp_path):
    wave = wave_of(30_001, channels=2)
    soundfile.write(tmp_path / "speech.wav", wave.T, 22_050, subtype="FLOAT")
    made = tiny.encode_file(tmp_path / "speech.wav", tmp_path / "speech.dvq", stages=3)
    assert (made.samples, made.size_bytes) == (30_001, (tmp_path / "speech.dvq").stat().st_size)
    encoded = tiny.encode(wave, sample_rate_hz=22_050, stages=3)
    assert (tmp_path / "speech.dvq").read_bytes() == encoded.to_bytes()
    encoded.save(tmp_path / "saved.dvq")
    assert (tmp_path / "saved.dvq").read_bytes() == encoded.to_bytes()

    report = tiny.decode_file(tmp_path / "speech.dvq", tmp_path / "heard.wav", subtype="FLOAT")
    heard, rate = soundfile.read(tmp_path / "heard.wav", always_2d=True)
    assert (report.samples, report.sample_rate_hz, rate, report.lost) == (
        30_001,
        22_050,
        22_050,
        [],
    )
    np.testing.assert_array_equal(heard.T.astype(np.float32), tiny.decode(encoded).wave)
    np.testing.assert_array_equal(
        tiny.decode(str(tmp_path / "speech.dvq")).wave, tiny.decode(encoded).wave
    )


def test_the_first_stages_decode_alone_and_cut_files_are_the_same(tiny):
    encoded = tiny.encode(wave_of(40_000), sample_rate_hz=16_000)
    for stages in (1, 2, 3, 4):
        part = tiny.encode(wave_of(40_000), sample_rate_hz=16_000, stages=stages)
        np.testing.assert_array_equal(encoded.codes[:, :stages], part.codes)
        shorter = io.BytesIO()
        cut(io.BytesIO(encoded.to_bytes()), shorter, stages=stages)
        np.testing.assert_array_equal(tiny.decode(shorter.getvalue()).wave, tiny.decode(part).wave)
        np.testing.assert_array_equal(
            tiny.decode(encoded, stages=stages).wave, tiny.decode(part).wave
        )


@pytest.mark.parametrize("position_bits", [0, 1, 3])
def test_sf_positions_travel_in_the_file(tiny_sf, position_bits):
    wave = wave_of(32_000)
    encoded = tiny_sf.encode(wave, sample_rate_hz=16_000, position_bits=position_bits)
    assert encoded.codes.max() < 64 << position_bits
    assert (encoded.codes & (1 << position_bits) - 1).any() == (position_bits > 0)
    again = tiny_sf.decode(encoded.to_bytes())
    np.testing.assert_array_equal(again.wave, tiny_sf.decode(encoded).wave)


def test_entropy_tables_of_the_model_shrink_files_and_change_no_code(tiny_model, tmp_path):
    checkpoint = Checkpoint.load(tiny_model)
    plain = Codec(checkpoint, name="plain", device="cpu")
    clips = [
        plain.encode(wave_of(80_000, seed=seed), sample_rate_hz=16_000) for seed in range(20, 26)
    ]
    tables = fit_tables([clip.codes[0] for clip in clips], [StageLayout(6)] * 4)
    tabled = Codec(
        Checkpoint(config=checkpoint.config, weights=checkpoint.weights, tables=tables.to_arrays()),
        name="tabled",
        device="cpu",
    )
    assert tabled.fingerprint != plain.fingerprint
    untabled = plain.encode(wave_of(80_000), sample_rate_hz=16_000)
    encoded = tabled.encode(wave_of(80_000), sample_rate_hz=16_000)
    np.testing.assert_array_equal(encoded.codes, untabled.codes)
    assert len(encoded.to_bytes()) < 0.97 * len(untabled.to_bytes())
    np.testing.assert_array_equal(
        tabled.decode(encoded.to_bytes()).wave, tabled.decode(encoded).wave
    )
    with pytest.raises(BitstreamError, match="coded with the model"):
        plain.decode(encoded.to_bytes())


def test_networks_of_the_model_let_a_bitrate_have_more_stages(tiny_model, tmp_path):
    """Networks that know how often each codeword comes, and nothing more."""
    checkpoint = Checkpoint.load(tiny_model)
    plain = Codec(checkpoint, name="plain", device="cpu")
    clips = [
        plain.encode(wave_of(80_000, seed=seed), sample_rate_hz=16_000) for seed in range(20, 26)
    ]
    networks = []
    for number in range(4):
        words = np.concatenate([clip.codes[0, number] for clip in clips])
        shares = (np.bincount(words, minlength=64) + 0.5) / (len(words) + 32)
        biases = np.rint(32 * np.log2(shares)).astype(int)
        layer = NetworkLayer(np.zeros((1, 64), int), biases, 0)
        entropy = -(shares * np.log2(shares)).sum()
        networks.append(StageNetwork(np.ones((64, 1), int), [[-1, number]], (layer,), entropy))
    tables = EntropyTables(tuple(networks)).to_arrays()
    dataclasses.replace(checkpoint, tables=tables).save(tmp_path / "clever.safetensors")
    clever = Codec.load(tmp_path / "clever.safetensors", device="cpu")
    assert clever.fingerprint != plain.fingerprint
    asked = {"sample_rate_hz": 16_000, "bitrate_kbps": 0.8}
    before, encoded = (codec.encode(wave_of(400_000), **asked) for codec in (plain, clever))
    assert (encoded.codes != NONE).sum() > 1.05 * (before.codes != NONE).sum()
    data = encoded.to_bytes()
    assert len(data) * 8 / 25 == pytest.approx(800, rel=0.04)
    np.testing.assert_array_equal(clever.decode(data).wave, clever.decode(encoded).wave)
    with_all = clever.encode(wave_of(80_000), sample_rate_hz=16_000)
    assert (with_all.codes != NONE).all()


def test_recover_keeps_time_and_says_what_was_lost(tiny):
    wave = wave_of(12 * 16_000)
    file = bytearray(tiny.encode(wave, sample_rate_hz=16_000).to_bytes())
    whole = tiny.decode(bytes(file)).wave
    file[len(file) // 2] ^= 0x40
    assert len(verify(io.BytesIO(bytes(file)))) == 1
    with pytest.raises(BitstreamError, match="packet"):
        tiny.decode(bytes(file))
    stream = StreamReader(io.BytesIO(bytes(file)))
    heard = tiny.decode(stream, recover=True).wave
    assert heard.shape == whole.shape
    (loss,) = stream.losses
    start, end = loss.first_frame * 320, (loss.first_frame + loss.frames) * 320
    assert not heard[:, start:end].any()
    margin = 20 * 320  # the decoder looks this far over the edge
    np.testing.assert_allclose(
        heard[:, : start - margin], whole[:, : start - margin], rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        heard[:, end + margin :], whole[:, end + margin :], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kbps", [0.4, 0.6, 1.0])
def test_a_bitrate_takes_stages_off_the_same_codes(tiny, kbps):
    wave = np.stack([synthesize_speech(3.3, seed=seed) for seed in range(2)])
    whole = tiny.encode(wave, sample_rate_hz=16_000).codes
    coded = tiny.encode(wave, sample_rate_hz=16_000, bitrate_kbps=kbps)
    there = coded.codes >= 0
    np.testing.assert_array_equal(coded.codes[there], whole[there])
    (batched,) = tiny.encode_batch([wave], sample_rate_hz=16_000, bitrate_kbps=kbps)
    np.testing.assert_array_equal(batched.codes, coded.codes)
    from_file = tiny.decode(coded.to_bytes()).wave
    np.testing.assert_array_equal(from_file, tiny.decode(coded).wave)
    first = tiny.decode(coded, stages=1).wave  # every frame has the first stage
    np.testing.assert_allclose(
        first, tiny.decode(tiny.encode(wave, sample_rate_hz=16_000, stages=1)).wave, atol=1e-6
    )


def test_a_bitrate_without_room_for_depths_is_one_stage(tiny):
    """0.31 kbps are 6.2 bits a frame: 6 for the stage, and a third at least to tell that there are
    no more.
    """
    coded = tiny.encode(wave_of(50_000), sample_rate_hz=16_000, bitrate_kbps=0.31)
    np.testing.assert_array_equal(
        coded.codes, tiny.encode(wave_of(50_000), sample_rate_hz=16_000, stages=1).codes
    )
    assert len(coded.header.stages) == 1


@pytest.mark.parametrize("kbps", [0.2, -1.0, float("nan"), "much", [1.0]])
def test_what_is_no_bitrate_of_the_model_is_refused(tiny, kbps):
    with pytest.raises(ConfigError, match=r"at least 0\.3 kbps|bitrate_kbps is a number, not"):
        tiny.encode(np.zeros(320), sample_rate_hz=16_000, bitrate_kbps=kbps)


def test_any_number_is_a_bitrate(tiny):
    expected = tiny.encode(wave_of(16_000), sample_rate_hz=16_000, bitrate_kbps=1).codes
    for kbps in (np.float32(1), np.int64(1), Fraction(1), "1.0"):
        found = tiny.encode(wave_of(16_000), sample_rate_hz=16_000, bitrate_kbps=kbps).codes
        np.testing.assert_array_equal(found, expected)


def test_a_bitrate_counts_positions(tiny_sf):
    """Six bits and two of position are 0.4 kbps a stage."""
    coded = tiny_sf.encode(
        wave_of(50_000), sample_rate_hz=16_000, bitrate_kbps=1.0, position_bits=2
    )
    there = coded.codes >= 0
    whole = tiny_sf.encode(wave_of(50_000), sample_rate_hz=16_000, position_bits=2).codes
    np.testing.assert_array_equal(coded.codes[there], whole[there])
    assert 2.2 < there.sum(axis=1).mean() <= 2.5
    np.testing.assert_array_equal(tiny_sf.decode(coded.to_bytes()).wave, tiny_sf.decode(coded).wave)


def test_batches_of_varied_and_equal_stages(tiny):
    waves = [wave_of(20_000), wave_of(9_000, channels=2), np.zeros((1, 0))]
    coded = tiny.encode_batch(waves, sample_rate_hz=16_000, bitrate_kbps=0.8)
    coded += tiny.encode_batch(waves, sample_rate_hz=16_000, stages=2)
    for one, wave in zip(coded[:3], waves, strict=True):
        alone = tiny.encode(wave, sample_rate_hz=16_000, bitrate_kbps=0.8)
        np.testing.assert_array_equal(one.codes, alone.codes)
    for one, audio in zip(coded, tiny.decode_batch(coded), strict=True):
        np.testing.assert_allclose(audio.wave, tiny.decode(one).wave, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(10, dtype=np.int16), "divide int16"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.array([0.0, np.inf]), "infinite"),
        (np.zeros((0, 10)), "channels"),
        (np.zeros((256, 1)), "channels"),
        (np.full(10, 1e300), "infinite"),  # finite only as float64
        ([[0.0, 1.0], [0.0]], "shape"),
        (torch.zeros(10, dtype=torch.int16), "divide int16"),
    ],
)
def test_what_is_not_audio_is_refused(tiny, wave, message):
    with pytest.raises(AudioError, match=message):
        tiny.encode(wave, sample_rate_hz=16_000)


def test_what_the_model_lacks_is_refused(tiny, tiny_model):
    silence = np.zeros(100)
    with pytest.raises(ConfigError, match="stages 1 to 4, not 5"):
        tiny.encode(silence, sample_rate_hz=16_000, stages=5)
    with pytest.raises(ConfigError, match="no SF-DiVeQ stage"):
        tiny.encode(silence, sample_rate_hz=16_000, position_bits=1)
    for rate in (0, 999, 768_001):
        with pytest.raises(ConfigError, match="1000 to 768000 Hz"):
            tiny.encode(silence, sample_rate_hz=rate)
    with pytest.raises(ConfigError, match=r"sample_rate_hz is a whole number, not 16000\.0"):
        tiny.encode(silence, sample_rate_hz=16_000.0)
    with pytest.raises(ConfigError, match="stages is a whole number"):
        tiny.encode(silence, sample_rate_hz=16_000, stages=2.0)
    with pytest.raises(ConfigError, match="not available"):
        Codec.load(tiny_model, device="nonsense")
    with pytest.raises(CheckpointError, match="no model file at missing"):
        Codec.load("missing")
    encoded = tiny.encode(silence, sample_rate_hz=16_000, stages=2).to_bytes()
    with pytest.raises(BitstreamError, match="has 2 stages"):
        tiny.decode(encoded, stages=3)
    with pytest.raises(BitstreamError, match="cannot read"):
        tiny.decode("missing.dvq")


def test_codes_out_of_range_are_no_codes(tiny):
    encoded = tiny.encode(wave_of(3200), sample_rate_hz=16_000)
    for wrong, message in (
        (-2, "index -2 "),
        (64, "index 64 "),
        (-1, "a stage before another is missing"),
    ):
        codes = encoded.codes.copy()
        codes[0, 2, 5] = wrong
        with pytest.raises(BitstreamError, match=message):
            dataclasses.replace(encoded, codes=codes)


def test_many_channels_at_once(tiny):
    wave = wave_of(40_000)
    codes = tiny.encode(np.repeat(wave, 30, axis=0), sample_rate_hz=16_000).codes
    np.testing.assert_array_equal(
        codes, np.repeat(tiny.encode(wave, sample_rate_hz=16_000).codes, 30, axis=0)
    )


def test_audio_far_beyond_full_scale_is_refused(tiny):
    """Twice and four times as loud is what floats may be; what was scaled as integers is another
    thing.
    """
    wave = wave_of(1600) / np.abs(wave_of(1600)).max()
    assert tiny.encode(4 * wave, sample_rate_hz=16_000).samples == 1600
    for loud, remedy in ((32768 * wave, "divide it by 32768"), (1e30 * wave, "scale it")):
        with pytest.raises(
            AudioError, match=rf"the audio reaches .*, where full scale is 1: .* {remedy} first"
        ):
            tiny.encode(loud, sample_rate_hz=16_000)


def test_what_names_no_rate_is_refused(tiny):
    encoded = tiny.encode(np.zeros(100), sample_rate_hz=16_000)
    with pytest.raises(AudioError, match="'original', 'model' or a number"):
        tiny.decode(encoded, sample_rate_hz="orig")


@pytest.mark.parametrize("rate", [0, 999, 768_001, 99_999_999])
def test_absurd_output_rates_are_refused(tiny, rate):
    encoded = tiny.encode(np.zeros(100), sample_rate_hz=16_000)
    with pytest.raises(AudioError, match="1000 to 768000 Hz"):
        tiny.decode(encoded, sample_rate_hz=rate)


def test_a_stream_cannot_ask_for_an_absurd_original_rate(tiny):
    """A 3 kB file that claims 16.7 MHz once took 5 GB to decode."""
    header = tiny.encode(np.zeros(16_000), sample_rate_hz=16_000).header
    with pytest.raises(ValueError, match="original_rate_hz is 1000 to 768000, not 16700000"):
        dataclasses.replace(header, original_rate_hz=16_700_000)


def test_torch_tensors_are_audio_too(tiny):
    wave = wave_of(3200)
    expected = tiny.encode(wave, sample_rate_hz=16_000).codes
    tensor = torch.from_numpy(wave)
    for given_tensor in (tensor, tensor.double(), tensor.clone().requires_grad_()):
        np.testing.assert_array_equal(
            tiny.encode(given_tensor, sample_rate_hz=16_000).codes, expected
        )
    halves = tensor.bfloat16()
    np.testing.assert_array_equal(
        tiny.encode(halves, sample_rate_hz=16_000).codes,
        tiny.encode(halves.float(), sample_rate_hz=16_000).codes,
    )


def test_bytes_of_any_kind_decode(tiny):
    encoded = tiny.encode(wave_of(3200), sample_rate_hz=16_000)
    expected = tiny.decode(encoded).wave
    for kind in (bytes, bytearray, memoryview):
        np.testing.assert_array_equal(tiny.decode(kind(encoded.to_bytes())).wave, expected)
