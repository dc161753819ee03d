"""Whole evaluations: of decoded files, of a model, of a codec of one's own; and what happens when
parts of it fail.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_checkpoint
from synthesis import synthesize_speech

from codec import (
    AudioError,
    Codec,
    ConfigError,
    Decoded,
    DecodedFolder,
    OutputError,
    Recordings,
    Signal,
)
from codec import evaluate as evaluate_
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.score_processes import score_workers
from codec.evaluation.signal import NamedSignal, find_sources, read_signal
from codec.evaluation.stage_use import StageCounter
from codec.evaluation.text_and_csv import evaluation_csv, evaluation_text
from codec.metrics import Metric, NothingToMeasure, Score, Weighted, mel_distance, si_sdr

RATE_HZ = 16_000
METRICS = ("si_sdr", "mel_distance")


def evaluate(originals, candidates, **options):
    return evaluate_(originals, candidates, **{"data": "test", "metrics": METRICS, **options})


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """`originals`, three clips, and `decoded`, the same with fewer bits and another suffix."""
    root = tmp_path_factory.mktemp("folders")
    for number, name in enumerate(["a/one.wav", "a/two.wav", "three.wav"]):
        speech = synthesize_speech(1.0 + 0.25 * number, seed=number)
        for folder, levels in (("originals", 32768), ("decoded", 128)):
            path = (root / folder / name).with_suffix(".wav" if folder == "originals" else ".flac")
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.round(speech * levels) / levels, RATE_HZ)
    return root


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(make_checkpoint(), name="tiny", device="cpu")


def test_folders_are_matched_and_scored(folders):
    found = evaluate(find_sources(folders / "originals"), [DecodedFolder(folders / "decoded")])
    assert [reference.name for reference in found.references] == [
        "a/one.wav",
        "a/two.wav",
        "three.wav",
    ]
    assert [reference.seconds for reference in found.references] == [1.0, 1.25, 1.5]
    (system,) = found.systems
    assert (system.name, system.kbps, system.encode_speed, system.stages) == (
        "decoded",
        None,
        None,
        None,
    )
    expected = []
    for clip in system.clips:
        reference = read_signal(folders / "originals" / clip.name).wave[0]
        estimate = read_signal((folders / "decoded" / clip.name).with_suffix(".flac")).wave[0]
        expected.append(si_sdr(reference, estimate))
        assert clip.scores["si_sdr"] == Score(expected[-1])
        assert clip.scores["mel_distance"] == Score(
            mel_distance(reference, estimate, sample_rate_hz=RATE_HZ)
        )
    assert system.means["si_sdr"].mean == pytest.approx(np.mean(expected), abs=1e-9)
    assert (
        min(expected) <= system.means["si_sdr"].low < system.means["si_sdr"].high <= max(expected)
    )


def test_originals_may_be_resampled_first(folders):
    found = evaluate(
        find_sources(folders / "originals"),
        [DecodedFolder(folders / "decoded")],
        sample_rate_hz=8_000,
    )
    reference, estimate = (
        read_signal(folders / name).at(8_000).wave[0]
        for name in ("originals/three.wav", "decoded/three.flac")
    )
    assert found.systems[0].clips[2].scores["si_sdr"].value == pytest.approx(
        si_sdr(reference, estimate), abs=1e-9
    )


def test_processes_find_the_same_in_the_same_order(folders):
    sources, candidates = find_sources(folders / "originals"), [DecodedFolder(folders / "decoded")]
    heard = []
    options = {"workers": 2, "on_reference": lambda name, clips: heard.append((name, list(clips)))}
    assert evaluate(sources, candidates, **options) == evaluate(sources, candidates)
    assert heard == [
        ("a/one.wav", ["decoded"]),
        ("a/two.wav", ["decoded"]),
        ("three.wav", ["decoded"]),
    ]


def test_a_model_is_scored_from_whole_files(codec, folders):
    sources = find_sources(folders / "originals")
    found = evaluate(
        sources, model_candidates(codec, stage_counts=[1, 4], bitrates_kbps=[0.3, 0.7])
    )
    assert [(system.name, system.family) for system in found.systems] == [
        ("tiny, 0.3 kbps", "tiny"),
        ("tiny, 0.7 kbps", "tiny"),
        ("tiny, 1 stage", "tiny, equal stages"),
        ("tiny, 4 stages", "tiny, equal stages"),
    ]
    assert {system.note for system in found.systems} == {f"model {codec.fingerprint.hex()}"}
    for system, wish in zip(
        found.systems,
        ({"bitrate_kbps": 0.3}, {"bitrate_kbps": 0.7}, {"stages": 1}, {"stages": 4}),
        strict=True,
    ):
        bits, codes = 0, []
        for source, clip in zip(sources, system.clips, strict=True):
            wave = read_signal(source.path).wave
            encoded = codec.encode(wave, sample_rate_hz=RATE_HZ, **wish)
            bits += 8 * len(encoded.to_bytes())
            codes.append(encoded.codes)
            assert clip.bits == 8 * len(encoded.to_bytes())
            assert clip.delay_samples == 0
            assert clip.scores["si_sdr"].value == si_sdr(wave[0], codec.decode(encoded).wave[0])
        assert system.kbps == pytest.approx(bits / 1000 / 3.75)
        assert min(system.encode_speed, system.decode_speed) > 0
        assert len(system.stages) == wish.get("stages", 4)
        for number, stage in enumerate(system.stages):
            words = np.concatenate(
                [c[0, number] for c in codes if number < c.shape[1]] or [np.zeros(0, np.int32)]
            )
            expected = np.bincount(words[words >= 0], minlength=1 << stage.bits)
            assert stage.histogram == tuple(expected)


def test_bitrates_are_of_all_powers_of_two_stages_and_of_the_last(codec):
    assert len(codec.config.stages) == 4
    assert [c.name for c in model_candidates(codec)] == [
        "tiny, 0.3 kbps",
        "tiny, 0.6 kbps",
        "tiny, 1.2 kbps",
    ]
    with pytest.raises(ConfigError, match="tiny has stages 1 to 4, not 0, 5"):
        model_candidates(codec, stage_counts=[0, 1, 5])
    with pytest.raises(ConfigError, match=r"tiny needs at least 0\.3 kbps, not 0\.2"):
        model_candidates(codec, bitrates_kbps=[1, 0.2])


def test_stage_use_of_known_codes():
    counter = StageCounter([2, 1])
    counter.add(np.array([[[0, 0, 1, 3], [1, 1, 1, 1]]], dtype=np.int32))
    counter.add(np.array([[[0], [1]], [[3], [1]], [[0], [1]], [[0], [1]]], dtype=np.int32))
    first, second = counter.use()
    assert (first.bits, first.used, first.histogram) == (2, 0.75, (5, 1, 0, 2))
    assert first.entropy_bits == pytest.approx(-sum(n / 8 * math.log2(n / 8) for n in (5, 1, 2)))
    assert (second.bits, second.used, second.entropy_bits, second.histogram) == (
        1,
        0.5,
        0.0,
        (0, 8),
    )
    assert StageCounter([3]).use()[0].used == StageCounter([3]).use()[0].entropy_bits == 0


class Halver:
    """A codec of one's own: half the level, 100 samples late, 8 bits a sample; it fails on short
    clips.
    """

    name, family, note, align = "halver, 128 kbps", "halver", "for tests", True

    def decode(self, name: str, signal: Signal) -> Decoded:
        if signal.seconds < 1.2:
            raise AudioError(f"{name} is too short")
        late = Signal(
            wave=0.5 * np.pad(signal.wave, ((0, 0), (100, 0))), sample_rate_hz=signal.sample_rate_hz
        )
        return Decoded(
            signal=late, bits=8 * signal.wave.shape[1], encode_seconds=0.1, decode_seconds=0.5
        )

    def stages(self) -> None:
        return None


def test_a_codec_of_ones_own(folders, tmp_path):
    originals = find_sources(folders / "originals")
    found = evaluate(
        originals, [Halver(), DecodedFolder(folders / "decoded")], recordings=Recordings(tmp_path)
    )
    system = found.systems[0]
    assert system.clips[0].failure == "a/one.wav is too short"
    assert [clip.delay_samples for clip in system.clips[1:]] == [100, 100]
    assert [clip.scores["si_sdr"].value for clip in system.clips[1:]] == [100, 100]
    assert (system.means["si_sdr"].clips, system.means["si_sdr"].failed) == (2, 1)
    assert (system.kbps, system.note) == (128.0, "for tests")
    assert (system.encode_speed, system.decode_speed) == (
        pytest.approx(2.75 / 0.2),
        pytest.approx(2.75 / 1.0),
    )
    # In step with its original, to within the 16 bits of the file.
    assert (system.clips[1].audio, found.references[1].audio) == (
        "halver_128_kbps/a/two.wav",
        "reference/a/two.wav",
    )
    heard, original = (
        soundfile.read(tmp_path / place)[0]
        for place in (system.clips[1].audio, "reference/a/two.wav")
    )
    np.testing.assert_allclose(heard, original / 2, atol=1 / 32768)
    assert system.clips[0].audio is None
    assert soundfile.info(tmp_path / found.systems[1].clips[0].audio).subtype == "PCM_16"
    assert_tables_tell_it(found)


def assert_tables_tell_it(found) -> None:
    lines = evaluation_csv(found).splitlines()
    assert lines[0] == "system,clip,seconds,bits,delay_samples,si_sdr,mel_distance,failure"
    assert lines[1] == '"halver, 128 kbps",a/one.wav,1.0,,0,,,a/one.wav is too short'
    assert lines[2].startswith('"halver, 128 kbps",a/two.wav,1.25,160000,100,100.0,0.30')
    assert len(lines) == 1 + 2 * 3
    text = " ".join(evaluation_text(found).split())
    assert "test: 3 clips, 3.8 s" in text
    assert (
        "halver, 128 kbps, 128.000 kbps, encodes at 13.8 and decodes at 2.8 x real time, for tests"
        in text
    )
    assert "SI-SDR (dB) 100.000 n = 2, 1 failed Mel distance (lower is better) 0.30" in text
    assert "delay of 100 samples removed" in text


def test_recordings_of_like_names_do_not_meet(tmp_path):
    keep = Recordings(tmp_path)
    signal = Signal(wave=np.zeros((1, 9), np.float32), sample_rate_hz=RATE_HZ)
    assert [keep.keep_original(name, signal) for name in ("b.wav", "b.flac")] == [
        "reference/b.wav",
        "reference/b_2.wav",
    ]
    assert keep.keep_decoded("Reference", "b.flac", signal) == "reference_2/b_2.wav"
    assert keep.keep_decoded("A / 6", "b.wav", signal) == "a_6/b.wav"
    assert keep.keep_decoded("a 6", "b.wav", signal) == "a_6_2/b.wav"
    with pytest.raises(OutputError, match="exists already"):
        keep.keep_original("b.wav", signal)


def test_broken_files_fail_alone(folders, tmp_path):
    speech = synthesize_speech(1.0, seed=0)
    broken = np.where(np.arange(RATE_HZ) == 800, np.nan, speech)
    originals, decoded = tmp_path / "originals", tmp_path / "decoded"
    for folder in (originals, decoded):
        folder.mkdir()
        for name in ("alone", "bad", "both", "good", "silent"):
            soundfile.write(folder / f"{name}.wav", speech, RATE_HZ)
    (originals / "empty.wav").write_bytes(b"")
    (originals / "garbage.wav").write_bytes(bytes(range(256)) * 9)
    soundfile.write(originals / "nan.wav", broken, RATE_HZ, subtype="FLOAT")
    soundfile.write(originals / "none.wav", speech[:0], RATE_HZ)
    soundfile.write(originals / "silent.wav", 0 * speech, RATE_HZ)
    (decoded / "alone.wav").unlink()
    (decoded / "bad.wav").write_bytes(b"RIFF")
    soundfile.write(decoded / "both.flac", speech, RATE_HZ)
    soundfile.write(decoded / "stray.wav", speech, RATE_HZ)
    sources, candidate = find_sources(originals), DecodedFolder(decoded)
    found = evaluate(sources, [candidate])
    failures = {clip.name: clip.failure for clip in found.systems[0].clips}
    assert failures.pop("good.wav") is None
    for name, expected in {
        "alone.wav": "decoded holds no decoded alone.wav",
        "bad.wav": "not audio in a known format",
        "both.wav": "decoded holds 2 of it: both.",
        "empty.wav": "it is empty",
        "garbage.wav": "not audio in a known format",
        "nan.wav": "sample 800 (0.050 s) is NaN or infinite",
        "none.wav": "holds no samples",
        "silent.wav": "the reference is silent",
    }.items():
        assert expected in failures.pop(name)
    assert failures == {}
    assert found.systems[0].means["si_sdr"].clips == 1
    assert candidate.without_original(sources) == [decoded / "stray.wav"]


def test_a_clip_of_no_samples_fails_alone(codec):
    empty = NamedSignal.mono("empty", np.zeros(0, np.float32), RATE_HZ)
    (system,) = evaluate([empty], model_candidates(codec, stage_counts=[1])).systems
    assert (system.clips[0].failure, system.kbps) == ("empty holds no samples", None)


def test_metrics_of_the_user_are_described(folders):
    extra = {
        "peak": Metric(
            lambda reference, estimate, *, sample_rate_hz: estimate.max(), "Peak", "FS", False
        )
    }
    found = evaluate(find_sources(folders / "originals"), [Halver()], extra_metrics=extra)
    assert found.metrics == (*METRICS, "peak")
    assert (found.metric("peak").title, found.metric("peak").higher_is_better) == ("Peak", False)
    original = read_signal(folders / "originals" / "three.wav").wave
    assert found.systems[0].clips[2].scores["peak"].value == pytest.approx(original.max() / 2)
    assert "Peak (FS, lower is better)" in evaluation_text(found)


def test_misuse_is_found_before_anything_is_coded(folders, monkeypatch):
    sources = find_sources(folders / "originals")
    never = Halver()
    monkeypatch.setattr(never, "decode", lambda *_: pytest.fail("it was coded"), raising=False)
    with pytest.raises(ConfigError, match="several are called halver, 128 kbps"):
        evaluate(sources, [never, never])
    with pytest.raises(ConfigError, match="unknown metric mos"):
        evaluate(sources, [never], metrics=["mos"])
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(ConfigError, match="needs the package pesq"):
        evaluate(sources, [never], metrics=None)


def test_a_folder_without_visible_audio_is_an_error(tmp_path):
    (tmp_path / ".hidden").mkdir()
    for name in (".hidden/a.wav", ".b.wav", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(AudioError, match="holds no audio file"):
        find_sources(tmp_path)


def test_originals_are_judged_by_the_metrics_that_can(folders):
    """By one of the user that has nothing to say of one clip, and counts the others by their
    length.
    """

    def loudness(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> Weighted:
        if len(estimate) == len(three):
            raise NothingToMeasure("the third")
        return Weighted(float(np.abs(estimate).max()), len(estimate))

    (three,) = read_signal(folders / "originals" / "three.wav").wave
    extra = {"loudness": Metric(loudness, "Loudness", "FS", best=1.0, judges_originals=True)}
    sources = find_sources(folders / "originals")
    found = evaluate(
        sources, [DecodedFolder(folders / "originals", name="same")], extra_metrics=extra
    )
    waves = [source.read().wave[0] for source in sources[:2]]
    peaks, lengths = [float(np.abs(wave).max()) for wave in waves], [len(wave) for wave in waves]
    assert [reference.scores for reference in found.references] == [
        *(
            {"loudness": Score(peak, weight=float(length))}
            for peak, length in zip(peaks, lengths, strict=True)
        ),
        {"loudness": Score(None)},
    ]
    assert found.original_means["loudness"].mean == pytest.approx(
        np.average(peaks, weights=lengths)
    )
    assert found.systems[0].means["loudness"] == found.original_means["loudness"]
    assert (found.original_means["loudness"].clips, found.original_means["loudness"].failed) == (
        2,
        0,
    )
    text = evaluation_text(found)
    assert text.index("\noriginal\n  Loudness (FS, 1 is best)") < text.index("\nsame\n")
    assert text.count("  n = 2\n") == 2
    rows = list(csv.DictReader(io.StringIO(evaluation_csv(found))))
    assert [row["system"] for row in rows] == ["original"] * 3 + ["same"] * 3
    assert [row["loudness"] for row in rows[:3]] == [repr(peaks[0]), repr(peaks[1]), ""]
    assert {row["failure"] for row in rows} == {""}


@pytest.mark.parametrize("import_main", [False, True])
def test_processes_that_score_import_the_main_module_only_where_asked(monkeypatch, import_main):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec("keyword", None))
    with score_workers(1, import_main=import_main) as workers:
        name = workers.submit(eval, "__import__('__main__').__name__").result()
    assert name == ("__mp_main__" if import_main else "__main__")
