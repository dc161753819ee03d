"""Audio as other libraries hold it gives the codes of the same samples in an array."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from synthesis import synthesize_speech

from codec import AudioError, Codec

RATE = 22_050


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Codec:
    return Codec.load(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    return synthesize_speech(1.5, seed=8).astype(np.float32)


@pytest.fixture(scope="module")
def file(wave, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sounds") / "speech.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    return path


class Decoder:
    """What `datasets` 4 gives for an entry of an audio column: torchcodec's AudioDecoder."""

    def __init__(self, wave: np.ndarray) -> None:
        self._wave = wave

    def get_all_samples(self) -> SimpleNamespace:
        return SimpleNamespace(data=torch.from_numpy(self._wave)[None], sample_rate=RATE)


def sounds(wave: np.ndarray, file: Path) -> dict[str, object]:
    """Everything that knows its own rate."""
    return {
        "path": file,
        "name": str(file),
        "column": {"path": "speech.wav", "array": wave, "sampling_rate": RATE},
        "undecoded column": {"bytes": file.read_bytes(), "path": None},
        "undecoded column by path": {"bytes": None, "path": str(file)},
        "decoder": Decoder(wave),
        "AudioSignal": SimpleNamespace(
            audio_data=torch.from_numpy(wave)[None, None], sample_rate=RATE
        ),
    }


def test_each_form_gives_the_codes_of_the_array(tiny, wave, file):
    expected = tiny.encode(wave, sample_rate_hz=RATE)
    for form, sound in sounds(wave, file).items():
        encoded = tiny.encode(sound)
        assert encoded.to_bytes() == expected.to_bytes(), form
        assert tiny.encode(sound, sample_rate_hz=RATE).to_bytes() == expected.to_bytes(), form


def test_tensors_as_torchaudio_loads_them(tiny, wave):
    expected = tiny.encode(wave, sample_rate_hz=RATE).codes
    np.testing.assert_array_equal(
        tiny.encode(torch.from_numpy(wave)[None], sample_rate_hz=RATE).codes, expected
    )


def test_a_batch_of_all_forms_with_rates_of_their_own(tiny, wave, file, tmp_path):
    soundfile.write(tmp_path / "other.wav", wave, 8000, subtype="FLOAT")
    mixed = [*sounds(wave, file).values(), tmp_path / "other.wav"]
    expected = [tiny.encode(sound) for sound in mixed]
    assert expected[-1].header.original_rate_hz == 8000
    assert [clip.to_bytes() for clip in tiny.encode_batch(mixed)] == [
        clip.to_bytes() for clip in expected
    ]


def test_a_column_of_datasets(tiny, wave, file):
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"audio": [str(file)]}).cast_column(
        "audio", datasets.Audio(decode=False)
    )
    coded = table.map(lambda row: {"codes": tiny.encode(row["audio"]).codes[0].tolist()})
    np.testing.assert_array_equal(
        coded[0]["codes"], tiny.encode(wave, sample_rate_hz=RATE).codes[0]
    )


@pytest.mark.parametrize(
    ("sound", "options", "fault"),
    [
        (np.zeros(10), {}, "an array does not say its rate: give sample_rate_hz"),
        (
            {"array": np.zeros(10), "sampling_rate": 8000},
            {"sample_rate_hz": 16_000},
            "has 8000 Hz, not 16000",
        ),
        (
            {"path": None, "text": "hello"},
            {},
            "has array and sampling_rate, or bytes, or path; this has path, text",
        ),
        ({"bytes": b"RIFF"}, {}, "not audio in a known format"),
        ("nowhere.wav", {}, "cannot read nowhere.wav: No such file"),
        (
            SimpleNamespace(audio_data=torch.zeros(2, 1, 9), sample_rate=8000),
            {},
            "a signal of 2 items; encode_batch",
        ),
        (object(), {"sample_rate_hz": 8000}, "shape|floats"),
    ],
)
def test_what_is_no_sound_is_refused(tiny, sound, options, fault):
    with pytest.raises(AudioError, match=fault):
        tiny.encode(sound, **options)


def test_a_file_object_is_for_encode_file(tiny, file):
    with pytest.raises(AudioError):
        tiny.encode(io.BytesIO(file.read_bytes()), sample_rate_hz=RATE)
