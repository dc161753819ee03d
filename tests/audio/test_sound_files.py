"""Reading and writing audio: formats, pipes, damage, clipping; soundfile called directly is the
oracle.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile
from synthesis import synthesize_speech

from codec.audio import AUDIO_SUFFIXES, WRITABLE_SUFFIXES, AudioWriter, audio_writer, open_audio
from codec.errors import AudioError, OutputError

RATE_HZ = 16_000
SPEECH = synthesize_speech(1.5, seed=3)
STEREO = np.stack([SPEECH, SPEECH[::-1]])


class Pipe(io.BytesIO):
    """Bytes that can be read and written once, as through a pipe."""

    name = "<stdin>"

    def seekable(self) -> bool:
        return False

    def seek(self, *_arguments):
        raise io.UnsupportedOperation("a pipe does not seek")


def encoded(samples=STEREO, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, RATE_HZ, **{"format": "WAV", "subtype": "FLOAT", **options})
    return file.getvalue()


def read_all(source, frames: int = 1000) -> np.ndarray:
    with open_audio(source) as reader:
        blocks = list(reader.blocks(frames))
        assert all(block.dtype == np.float32 and 0 < block.shape[1] <= frames for block in blocks)
        return np.concatenate([np.zeros((reader.channels, 0), np.float32), *blocks], axis=1)


# ---- reading


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("AU", "PCM_16"),
    ],
)
@pytest.mark.parametrize("piped", [False, True])
def test_reads_what_soundfile_reads(format, subtype, piped):
    data = encoded(format=format, subtype=subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    with open_audio(Pipe(data) if piped else io.BytesIO(data)) as reader:
        assert (reader.sample_rate_hz, reader.channels, reader.frames) == (RATE_HZ, 2, len(SPEECH))
    # libmpg123's last bit depends on how much is asked for at a time.
    tolerance = 1e-6 if format == "MP3" else 0
    np.testing.assert_allclose(
        read_all(Pipe(data) if piped else io.BytesIO(data)), expected.T, rtol=0, atol=tolerance
    )


FOREIGN_FORMATS = {
    ".8svx": "SVX",
    ".aifc": "AIFF",
    ".avr": "AVR",
    ".bwf": "WAV",
    ".iff": "SVX",
    ".nist": "NIST",
    ".paf": "PAF",
    ".pvf": "PVF",
    ".sf": "IRCAM",
    ".snd": "AU",
    ".svx": "SVX",
    ".voc": "VOC",
    ".wve": "WVE",
}
# MPEG-1 at 44.1 kHz, mono: a frame's header, bytes and samples; all zeros after the header are
# silence.
SILENT_FRAMES = {
    ".mp1": (b"\xff\xff\x80\xc0", 12 * 256_000 // 44_100 * 4, 384),
    ".mp2": (b"\xff\xfd\x80\xc0", 417, 1152),
}


@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES - WRITABLE_SUFFIXES))
def test_suffixes_that_are_only_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix in SILENT_FRAMES:
        header, size, samples = SILENT_FRAMES[suffix]
        path.write_bytes((header + bytes(size - len(header))) * 20)
        heard = read_all(path)
        assert heard.shape[0] == 1
        assert heard.shape[1] > 10 * samples
        assert not heard.any()
        return
    subtype, rate_hz = ("ALAW", 8000) if suffix == ".wve" else ("PCM_16", RATE_HZ)
    soundfile.write(path, SPEECH, rate_hz, format=FOREIGN_FORMATS[suffix], subtype=subtype)
    np.testing.assert_allclose(
        read_all(path), SPEECH[None], rtol=0, atol=2**-5 if suffix == ".wve" else 2**-15
    )


def test_reads_paths_and_named_pipes(tmp_path):
    path = tmp_path / "ünïcode speech.wav"
    path.write_bytes(encoded())
    np.testing.assert_array_equal(read_all(path), STEREO)
    np.testing.assert_array_equal(read_all(str(path)), STEREO)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(encoded(),))
        thread.start()
        np.testing.assert_array_equal(read_all(tmp_path / "pipe"), STEREO)
        thread.join()


def test_does_not_believe_a_pipe_that_it_can_seek():
    """As all pipes say on Windows, where seeking does nothing."""

    class WindowsPipe(io.FileIO):
        def seekable(self) -> bool:
            return True

        def seek(self, *_arguments) -> int:
            return 0

        def tell(self) -> int:
            return 0

    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(encoded())

    thread = threading.Thread(target=write)
    thread.start()
    with WindowsPipe(reading) as pipe:
        np.testing.assert_array_equal(read_all(pipe), STEREO)
    thread.join()


def test_reads_standard_input_of_a_process():
    code = (
        "import sys; from codec.audio import open_audio\n"
        "with open_audio(sys.stdin.buffer) as reader: print(sum(block.shape[1] for block in "
        "reader.blocks()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=encoded(), capture_output=True, check=True
    )
    assert int(result.stdout) == len(SPEECH)


@pytest.mark.parametrize(
    ("riff", "data"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x7FFFF024, 0x7FFFF000),
        (0x80000024, 0x80000000),
        (0, 0),
        (0xFFFFFFFF, 0),
    ],
)
def test_wav_of_unknown_length_on_a_pipe(riff, data):
    """The headers that ffmpeg, sox, arecord and GStreamer write to pipes."""
    wav = bytearray(encoded(subtype="PCM_16"))
    length_at = wav.index(b"data") + 4
    wav[4:8], wav[length_at : length_at + 4] = struct.pack("<I", riff), struct.pack("<I", data)
    np.testing.assert_allclose(read_all(Pipe(bytes(wav))), STEREO, rtol=0, atol=2**-15)


def test_flac_of_unknown_length():
    flac = bytearray(encoded(format="FLAC", subtype="PCM_16"))
    flac[21] &= 0xF0  # STREAMINFO's total of samples, 36 bits, 0 means unknown
    flac[22:26] = bytes(4)
    with open_audio(Pipe(bytes(flac))) as reader:
        assert reader.frames is None
    np.testing.assert_allclose(read_all(Pipe(bytes(flac))), STEREO, rtol=0, atol=2**-15)


def test_reads_a_part():
    with open_audio(io.BytesIO(encoded(format="FLAC", subtype="PCM_16"))) as reader:
        part = reader.read(5000, 1234)
        np.testing.assert_allclose(part, STEREO[:, 5000:6234], rtol=0, atol=2**-15)
        np.testing.assert_array_equal(reader.read(5000, 1234), part)
        with pytest.raises(AudioError, match=f"ends at sample {len(SPEECH)}, before"):
            reader.read(len(SPEECH) - 10, 11)


def test_zero_samples_are_audio():
    data = encoded(STEREO[:, :0])
    with open_audio(io.BytesIO(data)) as reader:
        assert (reader.channels, reader.frames, list(reader.blocks())) == (2, 0, [])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_place(value):
    damaged = STEREO.copy()
    damaged[1, 12_000] = value
    with pytest.raises(AudioError, match=r"<stdin>: sample 12000 \(0.750 s\) is NaN or infinite"):
        read_all(Pipe(encoded(damaged)))


def test_what_is_not_audio_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.flac").write_text("not audio at all\n" * 50)
    (tmp_path / "text.raw").write_text("not audio at all\n" * 50)
    for name, reason in [
        ("empty.wav", "it is empty"),
        ("text.flac", "not audio in a known format"),
        ("text.raw", "not audio in a known format"),
        ("missing.wav", "No such file"),
        ("", "it is a folder"),
    ]:
        with (
            pytest.raises(AudioError, match=f"^cannot read .*{name}: {reason}") as caught,
            open_audio(tmp_path / name),
        ):
            pass
        assert "\n" not in str(caught.value)
    with pytest.raises(AudioError, match="<stdin>: it is empty"), open_audio(Pipe()):
        pass


def test_a_full_disk_under_libsndfile_is_named(monkeypatch, tmp_path):
    def full(*_arguments):
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    target = tmp_path / "a.wav"
    with (
        pytest.raises(AudioError, match=r"a\.wav as .*: the system does not .* the disk full\?"),
        AudioWriter(target, sample_rate_hz=16_000, channels=1) as writer,
    ):
        writer.write(np.zeros((1, 100), np.float32))
    assert not target.exists()


def test_a_full_disk_is_an_error_in_one_line(monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    message = "^cannot copy <stdin> to a temporary file: No space left on device$"
    with pytest.raises(AudioError, match=message), open_audio(Pipe(encoded())):
        pass


def test_too_many_channels_are_refused():
    data = encoded(np.zeros((256, 10)), subtype="PCM_U8")
    with pytest.raises(AudioError, match="256 channels; up to 255"), open_audio(io.BytesIO(data)):
        pass


def test_absurd_rate_is_refused():
    wav = bytearray(encoded())
    wav[24:28] = struct.pack("<I", 800_000)
    with (
        pytest.raises(AudioError, match="800000 Hz; rates of 1000 to 768000 Hz"),
        open_audio(io.BytesIO(bytes(wav))),
    ):
        pass


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("AU", "PCM_16"),
    ],
)
@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_truncated_files_are_refused(format, subtype, kept):
    data = encoded(format=format, subtype=subtype)
    with pytest.raises(AudioError, match=r"truncated|damaged|malformed|lost sync"):
        read_all(io.BytesIO(data[: int(len(data) * kept)]))


# ---- writing


@pytest.mark.parametrize(
    ("subtype", "bits"), [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)]
)
def test_integers_survive_unchanged(tmp_path, subtype, bits):
    integers = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2, 5000))
    samples = integers / 2 ** (bits - 1)
    with AudioWriter(
        tmp_path / "x.wav", sample_rate_hz=RATE_HZ, channels=2, subtype=subtype
    ) as writer:
        writer.write(samples[:, :1000])
        writer.write(samples[:, 1000:])
    read, rate = soundfile.read(tmp_path / "x.wav", dtype="float64")
    assert rate == RATE_HZ
    assert writer.clipped == 0
    np.testing.assert_array_equal(read.T, samples)


def test_sixteen_bits_are_rounded_and_not_cut():
    pipe = Pipe()
    with AudioWriter(pipe, sample_rate_hz=RATE_HZ, channels=1) as writer:
        writer.write(np.array([[10.4, 10.6, -10.4, -10.6]]) / 32768)
    assert soundfile.read(io.BytesIO(pipe.getvalue()), dtype="int16")[0].tolist() == [
        10,
        11,
        -10,
        -11,
    ]


@pytest.mark.parametrize(
    "suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".caf", ".w64", ".rf64"]
)
def test_the_suffix_names_the_format(tmp_path, suffix):
    path = tmp_path / f"speech{suffix}"
    with AudioWriter(path, sample_rate_hz=RATE_HZ, channels=2) as writer:
        writer.write(STEREO)
    info = soundfile.info(path)
    expected = {".ogg": "VORBIS", ".opus": "OPUS", ".mp3": "MPEG_LAYER_III"}.get(suffix, "PCM_16")
    assert (info.subtype, info.samplerate, info.channels, info.frames) == (
        expected,
        RATE_HZ,
        2,
        len(SPEECH),
    )
    correlation = np.corrcoef(soundfile.read(path)[0][:, 0], SPEECH)[0, 1]
    assert correlation > 0.95


def test_a_pipe_gets_a_whole_file_with_a_true_header():
    pipe = Pipe()
    with AudioWriter(pipe, sample_rate_hz=RATE_HZ, channels=2, subtype="FLOAT") as writer:
        writer.write(STEREO)
        assert not pipe.getvalue()
    data = pipe.getvalue()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(data), dtype="float32")[0].T, STEREO)


def test_clipping_is_counted_in_integers_and_absent_in_floats(tmp_path):
    loud = np.array([[0.5, 1.5, -1.0, -3.0, 1.0]], dtype=np.float32)
    for subtype, clipped, expected in [
        ("PCM_16", 2, [16384, 32767, -32768, -32768, 32767]),
        ("FLOAT", 0, [16384, 49152, -32768, -98304, 32768]),
    ]:
        with AudioWriter(
            tmp_path / "x.wav", sample_rate_hz=RATE_HZ, channels=1, subtype=subtype, overwrite=True
        ) as writer:
            writer.write(loud)
        assert writer.clipped == clipped
        assert (soundfile.read(tmp_path / "x.wav", dtype="float64")[0] * 32768).tolist() == expected


def test_long_vorbis_writes_do_not_crash(tmp_path):
    with AudioWriter(tmp_path / "x.ogg", sample_rate_hz=RATE_HZ, channels=1) as writer:
        writer.write(np.tile(SPEECH, 80)[None])
    assert soundfile.info(tmp_path / "x.ogg").frames == 80 * len(SPEECH)


def test_a_failure_leaves_no_file(tmp_path):
    pipe = Pipe()
    for target in (tmp_path / "x.flac", pipe):
        with pytest.raises(ZeroDivisionError):
            write_and_fail(target)
    assert list(tmp_path.iterdir()) == []
    assert pipe.getvalue() == b""


def write_and_fail(target):
    with AudioWriter(target, sample_rate_hz=RATE_HZ, channels=2) as writer:
        writer.write(STEREO)
        raise ZeroDivisionError


def test_overwriting_needs_leave(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"):
        AudioWriter(tmp_path / "x.wav", sample_rate_hz=RATE_HZ, channels=1).__enter__()
    assert (tmp_path / "x.wav").read_bytes() == b"old"


def test_impossible_targets_are_refused(tmp_path):
    for name, options, reason in [
        ("x.xyz", {}, "the suffix names no audio format; known: .wav"),
        ("x.flac", {"subtype": "FLOAT"}, "FLAC has no subtype FLOAT; it has PCM_S8 PCM_16 PCM_24"),
        (
            "x.mp3",
            {"sample_rate_hz": 12_345},
            "holds rates of 8000, 11025, .* 48000 Hz, not 12345; choose such a rate",
        ),
        (
            "x.opus",
            {"sample_rate_hz": 22_050},
            "OPUS holds rates of 8000, 12000, .* Hz, not 22050; choose such a rate",
        ),
        (
            "x.ogg",
            {"sample_rate_hz": 200_001},
            "VORBIS holds rates of 1 to 200000 Hz, not 200001; choose such a rate",
        ),
        ("x.mp3", {"channels": 6}, "up to 2 channels, not 6; write another format, such as .wav"),
        (
            "x.flac",
            {"channels": 9},
            "FLAC holds up to 8 channels, not 9; write another format, such as .wav",
        ),
        ("x.aiff", {"channels": 2000}, "AIFF PCM_16 at 16000 Hz, 2000 channels"),
    ]:
        with (
            pytest.raises(AudioError, match=reason),
            AudioWriter(tmp_path / name, **{"sample_rate_hz": RATE_HZ, "channels": 1, **options}),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "rate_hz", "channels"),
    [
        (".flac", 655_350, 8),
        (".ogg", 200_000, 255),
        (".ogg", 1, 1),
        (".opus", 48_000, 255),
        (".mp3", 11_025, 2),
    ],
)
def test_limits_of_formats_can_be_reached(tmp_path, suffix, rate_hz, channels):
    with AudioWriter(tmp_path / f"x{suffix}", sample_rate_hz=rate_hz, channels=channels) as writer:
        writer.write(np.zeros((channels, 4000)))
    info = soundfile.info(tmp_path / f"x{suffix}")
    assert (info.samplerate, info.channels, info.frames) == (rate_hz, channels, 4000)


@pytest.mark.parametrize("suffix", audio_writer.AUDIO_FORMATS)
def test_no_samples_make_a_readable_file_or_an_error(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    writer = AudioWriter(path, sample_rate_hz=RATE_HZ, channels=2)
    if suffix in (".flac", ".mp3", ".opus"):
        with (
            pytest.raises(AudioError, match=r"cannot hold audio without samples; write \.wav"),
            writer,
        ):
            pass
        assert list(tmp_path.iterdir()) == []
        return
    with writer:
        pass
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (RATE_HZ, 2, 0)


def test_nan_is_not_written(tmp_path):
    with (
        pytest.raises(AudioError, match="NaN or infinite"),
        AudioWriter(tmp_path / "x.wav", sample_rate_hz=RATE_HZ, channels=1) as writer,
    ):
        writer.write(np.array([[0.0, np.nan]]))
    assert list(tmp_path.iterdir()) == []


def test_headers_of_32_bits_are_not_overrun(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_writer, "_SHORT_HEADER_BYTES", 4 * STEREO.shape[1])
    for suffix, refused in [(".wav", True), (".w64", False)]:
        path = tmp_path / f"x{suffix}"
        with AudioWriter(path, sample_rate_hz=RATE_HZ, channels=2) as writer:
            writer.write(STEREO)
            if refused:
                with pytest.raises(AudioError, match="WAV ends at 4 GiB"):
                    writer.write(STEREO[:, :1])
            else:
                writer.write(STEREO[:, :1])


def test_audio_scaled_as_integers_is_refused(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(
        path, np.concatenate([np.zeros(70_000), np.full(10, -20_000.0)]), 16_000, subtype="FLOAT"
    )
    with (
        open_audio(path) as reader,
        pytest.raises(AudioError, match=r"loud\.wav reaches 20000, where full scale is 1"),
    ):
        list(reader.blocks())


@pytest.mark.parametrize("rate", [1, 7, 999])
def test_rates_that_are_no_sound_are_refused(tmp_path, rate):
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(4_001), rate)
    message = rf"slow\.wav: {rate} Hz; rates of 1000 to 768000 Hz can be coded"
    with pytest.raises(AudioError, match=message), open_audio(path):
        pass


@pytest.mark.parametrize("name", ["a\0b.wav", "/proc/self/mem"])
def test_names_that_are_no_files_are_refused(name):
    with pytest.raises(AudioError, match="cannot read"), open_audio(name):
        pass
