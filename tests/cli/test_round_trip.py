"""encode and decode: what the library gives is what files and pipes hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import Codec, read_info


def heard(path) -> np.ndarray:
    return soundfile.read(path, dtype="int16", always_2d=True)[0].T


def as_16_bits(wave: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(wave.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)


def test_writes_what_the_library_encodes(call, folder, tiny, coded_bytes):
    result = call("encode", "speech.wav", "out.dvq", "--model", tiny)
    assert (result.code, result.out) == (0, "")
    assert (folder / "out.dvq").read_bytes() == coded_bytes
    assert read_info("out.dvq").range_packets > 0  # the model's tables are used


def test_writes_what_the_library_decodes(call, coded, tiny, library, wave):
    result = call("decode", "coded.dvq", "speech2.wav", "--model", tiny)
    assert (result.code, result.out) == (0, "")
    expected = as_16_bits(library.decode(coded / "coded.dvq").wave)
    assert expected.shape == (1, len(wave))
    np.testing.assert_array_equal(heard("speech2.wav"), expected)


def test_says_at_the_end_what_was_done(call, folder, tiny, coded_bytes):
    size, kbps = len(coded_bytes), 8e-3 * len(coded_bytes) / 3.33
    said = call("encode", "speech.wav", "out.dvq", "--model", tiny).error
    assert said.startswith(
        f"diveq-codec: 1 file encoded: 3.33 s of audio, {size:,} bytes, {kbps:.2f} kbps, "
    )
    assert said.endswith(" x real time")
    said = call("decode", "out.dvq", "--model", tiny).error
    assert said.startswith(
        f"diveq-codec: 1 file decoded: 3.33 s of audio, {size:,} bytes, {kbps:.2f} kbps, "
    )
    assert call("decode", "out.dvq", "--force", "--quiet", "--model", tiny).err == ""


def test_writes_beside_the_source_by_default(call, folder, tiny, names):
    assert call("encode", "speech.wav", "--model", tiny).code == 0
    assert call("decode", "speech.dvq", "--format", "flac", "--model", tiny).code == 0
    assert names() == {"speech.wav", "speech.dvq", "speech.flac"}
    assert soundfile.info("speech.flac").format == "FLAC"


def test_pipes_carry_the_same_bytes_as_files(start, folder, tiny):
    model = ("--model", tiny, "--backend", "onnx")  # which starts sooner
    by_files = (
        "from codec.cli import main; import sys;"
        "sys.exit(main(['encode', 'speech.wav', 'out.dvq', *sys.argv[-4:]])"
        " or main(['decode', 'out.dvq', 'out.wav', *sys.argv[-4:]]))"
    )
    files = start(*model, python=("-c", by_files))  # threads may change the last bit in this one
    piped_dvq, encode_said = start("encode", "-", *model, stdin=-1).communicate(
        Path("speech.wav").read_bytes()
    )
    piped_wav, decode_said = start("decode", "-", "-", *model, stdin=-1).communicate(piped_dvq)
    assert files.wait() == 0
    assert (encode_said, decode_said) == (b"", b"")
    assert piped_dvq == Path("out.dvq").read_bytes()
    assert piped_wav == Path("out.wav").read_bytes()


@pytest.mark.parametrize("kbps", [0.45, 0.75, 1.1])
def test_a_bitrate_is_that_of_the_library(call, folder, tiny, kbps):
    assert call("encode", "speech.wav", "out.dvq", "--bitrate", kbps, "--model", tiny).code == 0
    wave, rate = soundfile.read("speech.wav", dtype="float32")
    coded = Codec.load(tiny).encode(wave, sample_rate_hz=rate, bitrate_kbps=kbps)
    assert Path("out.dvq").read_bytes() == coded.to_bytes()
    info = read_info("out.dvq")
    assert 8e-3 * info.payload_bytes / info.seconds < kbps
    assert call("decode", "out.dvq", "out.wav", "--model", tiny).code == 0
    assert soundfile.info("out.wav").frames == info.samples


@pytest.mark.parametrize("kbps", [1.2, 64])
def test_a_bitrate_that_all_stages_keep_to_takes_none_off(call, folder, tiny, kbps):
    assert call("encode", "speech.wav", "limited.dvq", "--bitrate", kbps, "--model", tiny).code == 0
    assert call("encode", "speech.wav", "all.dvq", "--model", tiny).code == 0
    assert Path("limited.dvq").read_bytes() == Path("all.dvq").read_bytes()


def test_position_bits_widen_the_indices_of_a_curve(call, folder, models):
    options = ("--position-bits", 3, "--stages", 2, "--model", models / "space.safetensors")
    assert call("encode", "speech.wav", "out.dvq", *options).code == 0
    assert [stage.index_bits for stage in read_info("out.dvq").header.stages] == [9, 9]


@pytest.mark.parametrize(
    ("rate", "expected_hz", "expected_samples"),
    [("original", 8000, 4321), ("model", 16000, 8642), ("48000", 48000, 25926)],
)
def test_decodes_at_the_rate_asked_for(
    call, folder, tiny, wave, rate, expected_hz, expected_samples
):
    soundfile.write("slow.wav", np.stack([wave[:4321], -wave[:4321]], axis=1), 8000)
    assert call("encode", "slow.wav", "--model", tiny).code == 0
    assert (
        call(
            "decode", "slow.dvq", "out.wav", "--rate", rate, "--subtype", "PCM_24", "--model", tiny
        ).code
        == 0
    )
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.frames, info.channels) == (expected_hz, expected_samples, 2)
    assert info.subtype == "PCM_24"


def test_audio_of_no_samples_keeps_its_form(call, folder, tiny):
    soundfile.write("none.wav", np.zeros((0, 2)), 44_100)
    assert call("encode", "none.wav", "--model", tiny).code == 0
    assert call("decode", "none.dvq", "out.wav", "--model", tiny).code == 0
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.frames, info.channels) == (44_100, 0, 2)
    refused = call("decode", "none.dvq", "out.flac", "--model", tiny)
    assert (refused.code, (folder / "out.flac").exists()) == (1, False)
    assert "cannot hold audio without samples; write .wav" in refused.error


def test_finds_the_shipped_model_of_a_stream(call, folder, shipped, models):
    assert call("encode", "speech.wav", "default.dvq").code == 0
    assert call("encode", "speech.wav", "space.dvq", "--model", "space").code == 0
    assert call("decode", "default.dvq", "space.dvq", "--out-dir", "heard").code == 0
    for name, model in (("default", "tiny"), ("space", "space")):
        call("decode", f"{name}.dvq", f"{name}.wav", "--model", models / f"{model}.safetensors")
        np.testing.assert_array_equal(heard(f"heard/{name}.wav"), heard(f"{name}.wav"))


def test_force_replaces_and_nothing_else_does(call, coded, tiny, coded_bytes):
    (coded / "out.dvq").write_bytes(b"precious")
    refused = call("encode", "speech.wav", "out.dvq", "--model", tiny)
    assert (refused.code, refused.error) == (
        1,
        "diveq-codec: error: speech.wav: out.dvq exists already; --force replaces it",
    )
    assert (coded / "out.dvq").read_bytes() == b"precious"
    assert call("encode", "speech.wav", "out.dvq", "--force", "--model", tiny).code == 0
    assert (coded / "out.dvq").read_bytes() == coded_bytes


def test_warns_of_clipping(call, folder, save_model):
    save_model(folder / "loud.safetensors", codebook_gain=10)
    call("encode", "speech.wav", "loud.dvq", "--model", "loud.safetensors")
    call("decode", "loud.dvq", "whole.wav", "--subtype", "FLOAT", "--model", "loud.safetensors")
    beyond = int(np.count_nonzero(np.abs(soundfile.read("whole.wav")[0]) > 1))
    assert beyond > 0
    said = call("decode", "loud.dvq", "clipped.wav", "--model", "loud.safetensors").err
    assert (
        f"diveq-codec: loud.dvq: {beyond} samples were louder than the format holds, and are "
        f"clipped\n" in said
    )
