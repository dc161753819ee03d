"""The blind test: the recordings are there, the names are not, and the key says which is which."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import soundfile
from report.evaluations import REFERENCE_HZ, SYSTEM_HZ, make_evaluation
from report.reading import parse

from codec.errors import ConfigError
from codec.report import listening_page, report_page


@pytest.fixture
def source(tmp_path):
    make_evaluation(tmp_path).write(tmp_path / "evaluation.json")
    return tmp_path / "evaluation.json"


def frequency(uri: str) -> int:
    """Of the tone in a data URI, in Hz."""
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return round(np.abs(np.fft.rfft(wave)).argmax() * rate / len(wave))


def embedded(page, name: str):
    return json.loads(page.one("script", id=name).text)


def test_the_key_tells_what_each_recording_is(source):
    page = parse(listening_page(source))
    facts = embedded(page, "test")
    key = json.loads(base64.b64decode(facts["key"]))
    expected = dict(
        zip([None, "Tone 0", "Tone 1", "Tone 2"], (REFERENCE_HZ, *SYSTEM_HZ), strict=True)
    )
    expected["Low anchor, 3.5 kHz"] = REFERENCE_HZ
    assert [clip["name"] for clip in facts["clips"]] == [
        "speaker/0.flac",
        "speaker/1.flac",
        "speaker/2.flac",
    ]
    for number, clip in enumerate(facts["clips"]):
        audio = embedded(page, clip["id"])["audio"]
        assert audio.keys() == key[clip["id"]].keys()
        heard = {key[clip["id"]][name]: frequency(uri) for name, uri in audio.items()}
        assert heard == pytest.approx(
            {system: hz + number for system, hz in expected.items()}, abs=1
        )


def test_the_low_anchor_is_the_reference_without_its_highs(tmp_path, source):
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(tmp_path / "reference/0.wav", noise, 16_000)
    page = parse(listening_page(source, clips=1))
    facts = embedded(page, "test")
    (clip,) = facts["clips"]
    key = json.loads(base64.b64decode(facts["key"]))[clip["id"]]
    audio = {key[name]: uri for name, uri in embedded(page, clip["id"])["audio"].items()}
    heard = [
        soundfile.read(io.BytesIO(base64.b64decode(audio[name].partition(",")[2])))[0]
        for name in (None, facts["anchor"])
    ]
    reference, anchor = (np.abs(np.fft.rfft(wave)) for wave in heard)
    edge = int(3500 / 16_000 * len(noise))
    np.testing.assert_allclose(anchor[:edge], reference[:edge], atol=0.02)
    assert anchor[edge + 1 :].max() < 0.02


def test_no_name_of_a_system_stands_in_the_page(source):
    text = listening_page(source)
    assert "Tone" not in text
    assert "Lonely" not in text
    assert "Tone" in report_page(source)


def test_ids_and_their_order_differ_from_clip_to_clip(tmp_path):
    make_evaluation(tmp_path, clips=8).write(tmp_path / "evaluation.json")
    page = parse(listening_page(tmp_path / "evaluation.json"))
    facts = embedded(page, "test")
    key = json.loads(base64.b64decode(facts["key"]))
    ids = [name for clip in facts["clips"] for name in key[clip["id"]]]
    assert len(set(ids)) == 8 * 5
    orders = {
        tuple(key[clip["id"]][name] for name in embedded(page, clip["id"])["audio"])
        for clip in facts["clips"]
    }
    assert len(orders) > 3


def test_pages_of_other_clips_have_other_trials(source):
    """Answers that a browser keeps for one page must not go on with the trials of another."""
    pages = (parse(listening_page(source, clips=clips)) for clips in (3, 3, 2))
    same, again, fewer = (embedded(page, "test") for page in pages)
    assert same["trials_id"] == again["trials_id"] != fewer["trials_id"]
    assert same["evaluation"] == again["evaluation"] == fewer["evaluation"]


def test_pages_with_other_recordings_have_other_trials(tmp_path, source):
    before = embedded(parse(listening_page(source)), "test")
    (tmp_path / "system 1/0.flac").unlink()
    after = embedded(parse(listening_page(source)), "test")
    assert after["trials_id"] != before["trials_id"]
    assert after["evaluation"] == before["evaluation"]


def test_without_recordings_there_is_no_test(tmp_path):
    make_evaluation(tmp_path, recorded=False).write(tmp_path / "evaluation.json")
    with pytest.raises(
        ConfigError, match=r"no clip has recordings of its reference and of a system$"
    ):
        listening_page(tmp_path / "evaluation.json")


def test_without_readable_recordings_the_reason_is_told(tmp_path):
    make_evaluation(tmp_path, clips=1).write(tmp_path / "evaluation.json")
    (tmp_path / "reference/0.wav").unlink()
    with pytest.raises(ConfigError, match=r"of a system \(reference/0.wav: no such file\)$"):
        listening_page(tmp_path / "evaluation.json")
