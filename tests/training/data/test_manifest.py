"""Manifests of folder trees: what is taken, what is rejected and why, and what a damaged manifest
says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile
from real_speech import SPEECH, needs
from synthesis import synthesize_speech, tone

from codec.errors import AudioError, ManifestError, OutputError
from codec.training.data.manifest import (
    SPEAKER_RULES,
    Limits,
    Manifest,
    TrainingClip,
    build_manifest,
    read_manifest,
    write_manifest,
)

REAL_SPEECH = SPEECH / "train" / "0"
needs_any_name = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere every file's name is text"
)


def write(path: Path, samples: np.ndarray, sample_rate_hz: int = 16_000, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T, sample_rate_hz, **options)
    return path


@pytest.fixture
def libritts(tmp_path):
    """A small tree in LibriTTS' layout, with the text files that lie beside the audio."""
    for speaker, chapter in [("84", "121123"), ("84", "121550"), ("174", "50561")]:
        for number in range(2):
            stem = f"{speaker}_{chapter}_000001_00000{number}"
            folder = tmp_path / "LibriTTS" / speaker / chapter
            write(
                folder / f"{stem}.wav",
                synthesize_speech(0.7 + 0.3 * number, sample_rate_hz=24_000),
                24_000,
            )
            (folder / f"{stem}.normalized.txt").write_text("Some text.")
        (tmp_path / "LibriTTS" / speaker / chapter / f"{speaker}_{chapter}.trans.tsv").write_text(
            ""
        )
    return tmp_path / "LibriTTS"


def test_libritts_tree(libritts):
    manifest, rejected = build_manifest(libritts, speaker_rule=SPEAKER_RULES["libritts"])
    assert rejected == []
    first = manifest.clips[0]
    assert first.path == "174/50561/174_50561_000001_000000.wav"
    assert (first.speaker, first.frames, first.sample_rate_hz, first.channels) == (
        "174",
        16_800,
        24_000,
        1,
    )
    assert first.sha256 == hashlib.sha256((libritts / first.path).read_bytes()).hexdigest()
    assert [clip.speaker for clip in manifest.clips] == ["174"] * 2 + ["84"] * 4
    assert manifest.seconds == pytest.approx(3 * (0.7 + 1.0))


def test_jobs_change_nothing(libritts):
    whole = build_manifest(libritts, jobs=1)
    assert build_manifest(libritts, jobs=3) == whole


def test_unusable_files_are_listed_with_their_reasons(tmp_path):
    speech = synthesize_speech(1.0)
    write(tmp_path / "good.wav", speech)
    write(tmp_path / "GOOD.FLAC", speech)
    write(tmp_path / "silent.wav", 1e-4 * speech)
    write(tmp_path / "offset.wav", np.full(16_000, 0.5))
    write(tmp_path / "clipped.wav", np.clip(30 * speech, -1, 1))
    write(tmp_path / "short.wav", speech[:7_999])
    write(tmp_path / "none.wav", speech[:0])
    write(tmp_path / "long.wav", np.tile(speech, 6))
    write(tmp_path / "telephone.wav", speech[:6_000], 6_000)
    write(
        tmp_path / "nan.wav", np.where(np.arange(16_000) == 9_000, np.nan, speech), subtype="FLOAT"
    )
    whole = write(tmp_path / "truncated.flac", speech).read_bytes()
    (tmp_path / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.ogg").write_text("no audio")
    (tmp_path / "notes.txt").write_text("no audio either, and it does not say so")
    (tmp_path / "._good.wav").write_text("what macOS leaves behind")
    manifest, rejected = build_manifest(tmp_path, limits=Limits(max_seconds=5))
    assert [clip.path for clip in manifest.clips] == ["GOOD.FLAC", "good.wav"]
    reasons = {item.path: item.reason for item in rejected}
    expected = {
        "silent.wav": "silent: its loudest 0.1 s has -9",
        "offset.wav": "silent: its loudest 0.1 s has -120 dBFS, below -60",
        "clipped.wav": "of its samples stand at full scale, over 0.10%",
        "short.wav": "0.500 s, shorter than the limit of 0.5 s",
        "none.wav": "0.000 s, shorter than the limit of 0.5 s",
        "long.wav": "longer than the limit of 5 s",
        "telephone.wav": "6000 Hz, below the limit of 8000 Hz",
        "nan.wav": "sample 9000 (0.562 s) is NaN or infinite",
        "truncated.flac": "truncated.flac",
        "empty.mp3": "it is empty",
        "text.ogg": "not audio in a known format",
    }
    assert reasons.keys() == expected.keys()
    for path, reason in expected.items():
        assert reason in reasons[path]


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 44_100])
def test_levels_are_those_of_the_blocks(tmp_path, sample_rate_hz):
    """Tones of -10, -20, … dB per 0.1 s, in two channels, and a last block of half the length."""
    levels = np.array([10, 20, 30, 40, 50, 25])
    starts = np.arange(len(levels)) * sample_rate_hz // 10
    frames = int(starts[-1]) + sample_rate_hz // 20
    amplitude = (10 ** (-levels / 20))[np.searchsorted(starts, np.arange(frames), side="right") - 1]
    left = amplitude * np.sqrt(2) * tone(1.0, 400, sample_rate_hz=sample_rate_hz, level=1)[:frames]
    write(tmp_path / "x.wav", np.stack([left, left]), sample_rate_hz, subtype="FLOAT")
    manifest, _ = build_manifest(tmp_path, limits=Limits(max_clipped_share=1))
    assert list(manifest.clips[0].levels) == levels.tolist()
    assert manifest.clips[0].channels == 2


def test_speaker_rules():
    path = PurePath("root/84/121123/84_121123_000001.wav")
    assert SPEAKER_RULES["folder"](path) == "121123"
    assert SPEAKER_RULES["folder"](PurePath("root/x.wav")) == "root"
    assert SPEAKER_RULES["prefix"](path) == "84_121123"
    assert SPEAKER_RULES["prefix"](PurePath("root/name.wav")) == "name"
    assert SPEAKER_RULES["libritts"](path) == "84"
    with pytest.raises(AudioError, match="no speaker folder: expected speaker/chapter/file"):
        SPEAKER_RULES["libritts"](PurePath("root/84/x.wav"))


def test_a_file_that_the_speaker_rule_refuses_is_rejected(libritts):
    write(libritts / "stray.wav", synthesize_speech(1.0))
    manifest, rejected = build_manifest(libritts, speaker_rule=SPEAKER_RULES["libritts"])
    assert len(manifest.clips) == 6
    assert [item.path for item in rejected] == ["stray.wav"]


def test_written_and_read(libritts, tmp_path):
    manifest, _ = build_manifest(libritts)
    write_manifest(manifest, tmp_path / "train.jsonl")
    again = read_manifest(tmp_path / "train.jsonl")
    assert again.clips == manifest.clips
    assert again.checksum() == manifest.checksum()
    assert again.root.resolve() == libritts.resolve()
    (tmp_path / "moved").mkdir()
    (tmp_path / "train.jsonl").rename(tmp_path / "moved" / "train.jsonl")
    libritts.rename(tmp_path / "moved" / "LibriTTS")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    moved = read_manifest(tmp_path / "elsewhere" / "train.jsonl")
    assert moved.root.resolve() != libritts
    with pytest.raises(OutputError, match="exists already"):
        write_manifest(moved, tmp_path / "elsewhere" / "train.jsonl")


def test_the_root_can_be_given(libritts, tmp_path):
    manifest, _ = build_manifest(libritts)
    write_manifest(manifest, tmp_path / "train.jsonl")
    assert read_manifest(tmp_path / "train.jsonl", root="elsewhere").root == Path("elsewhere")


@needs_any_name
def test_names_that_are_no_text_are_written_and_read(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("spk_\udcff1.wav", "line_\u2028.wav", "next_\x85.wav", "plain_ü.wav"):
        write(tmp_path / "x.wav", synthesize_speech(1.0)).rename(tmp_path / "in" / name)
    (tmp_path / "in" / "empty_\udcff.wav").touch()
    out = tmp_path / "train.jsonl"
    done = run_command(tmp_path / "in", out, "--speakers", "prefix")
    assert (done.returncode, "4 clips" in done.stderr) == (0, True), done.stderr
    manifest, rejected = build_manifest(tmp_path / "in", speaker_rule=SPEAKER_RULES["prefix"])
    again = read_manifest(out)
    assert again.clips == manifest.clips
    assert again.checksum() == manifest.checksum()
    listed = (tmp_path / "train.rejected.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    assert [json.loads(line) for line in listed] == [dataclasses.asdict(item) for item in rejected]


def test_checksum_of_other_names_is_that_of_their_text():
    """As manifests had it before names could be no text; runs compare it when they go on."""
    clip = TrainingClip(**GOOD_LINE | {"path": "ü\u2028.wav", "levels": bytes([20])})
    line = json.dumps(GOOD_LINE | {"path": "ü\u2028.wav"}, ensure_ascii=False)
    expected = hashlib.sha256(f"{line}\n{line}".encode()).hexdigest()
    assert Manifest(root=Path(), clips=(clip, clip)).checksum() == expected


GOOD_LINE = {
    "path": "a.wav",
    "frames": 1600,
    "sample_rate_hz": 16_000,
    "channels": 1,
    "speaker": "a",
    "sha256": "",
    "levels": "FA==",
}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not JSON"),
        ("[]", "line 3: expected a JSON object, found list"),
        (json.dumps(GOOD_LINE | {"extra": 1}), "line 3: missing or unknown: extra"),
        (
            json.dumps({k: v for k, v in GOOD_LINE.items() if k != "speaker"}),
            "line 3: missing or unknown: speaker",
        ),
        (json.dumps(GOOD_LINE | {"frames": "1600"}), "line 3: frames is '1600', expected int"),
        (json.dumps(GOOD_LINE | {"channels": True}), "line 3: channels is True, expected int"),
        (json.dumps(GOOD_LINE | {"frames": 0}), "line 3: frames 0"),
        (json.dumps(GOOD_LINE | {"levels": "FBQ="}), "line 3: 2 levels, expected 1 for 0.1 s"),
        (json.dumps(GOOD_LINE | {"levels": "F?=="}), "line 3: "),
    ],
)
def test_wrong_lines_are_named(tmp_path, line, message):
    header = json.dumps({"format": "diveq-codec manifest", "version": 1, "root": "."})
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join([header, json.dumps(GOOD_LINE)]))
    assert read_manifest(path).clips[0].levels == bytes([20])
    path.write_text("\n".join([header, json.dumps(GOOD_LINE), line]))
    with pytest.raises(ManifestError, match=f"train.jsonl, {message}"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not JSON"),
        (json.dumps(GOOD_LINE), "is no manifest: line 1 is not its header"),
        (
            '{"format": "diveq-codec manifest", "version": 2, "root": "."}',
            "of version 2; this program reads 1",
        ),
        ('{"format": "diveq-codec manifest", "version": 1, "root": "."}', "lists no clips"),
    ],
)
def test_wrong_headers_are_named(tmp_path, text, message):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "x.jsonl")


def test_missing_manifest_and_missing_root(tmp_path):
    with pytest.raises(ManifestError, match=r"cannot read the manifest .*none.jsonl"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match="none is not a folder"):
        build_manifest(tmp_path / "none")


def run_command(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "codec.training.data.manifest", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_command(libritts, tmp_path):
    (libritts / "84" / "121123" / "bad.wav").touch()
    out = tmp_path / "train.jsonl"
    done = run_command(libritts, out, "--speakers", "libritts", "--limits.min-seconds", "0.8")
    assert done.returncode == 0
    assert "3 clips" in done.stderr
    assert {clip.speaker for clip in read_manifest(out).clips} == {"84", "174"}
    rejected = [
        json.loads(line) for line in (tmp_path / "train.rejected.jsonl").read_text().splitlines()
    ]
    assert len(rejected) == 4
    assert "it is empty" in next(item["reason"] for item in rejected if "bad.wav" in item["path"])
    again = run_command(libritts, out)
    assert again.returncode == 1
    assert (
        again.stderr.strip()
        == f"error: {out} exists already; --force, or overwrite=True in Python, replaces it"
    )


@needs(REAL_SPEECH)
def test_real_speech():
    manifest, rejected = build_manifest(REAL_SPEECH, speaker_rule=SPEAKER_RULES["prefix"])
    assert rejected == []
    assert manifest.seconds == pytest.approx(4500, rel=0.2)
    assert len({clip.speaker for clip in manifest.clips}) > 100
