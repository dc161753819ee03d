"""Sentences of languages in which pitch tells words apart, spoken by espeak-ng in a low and a high
voice.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codec.errors import ConfigError
from codec.training.validation import read_clip

from .track import Wave

__all__ = ["LANGUAGES", "Language", "spoken"]

_PITCHES = {"low": 60, "high": 99}  # of espeak-ng, 0 to 99


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """A tonal language, the voice that speaks it, and what it says."""

    name: str
    voice: str
    sentences: tuple[str, ...]


LANGUAGES = (
    Language(
        name="Mandarin",
        voice="cmn-latn-pinyin",  # packages of espeak-ng may lack the dictionary of characters
        sentences=(
            "jin1 tian1 tian1 qi4 hen3 hao3, wo3 men5 qu4 gong1 yuan2 san4 bu4.",
            "ma1 ma5 qi2 ma3, ma3 man4, ma1 ma5 ma4 ma3.",
            "qing3 wen4, huo3 che1 zhan4 zai4 na3 li3?",
            "ta1 mei2 you3 shuo1 wei4 shen2 me5 bu4 neng2 lai2.",
            "san1 dian3 ban4 yi3 qian2, yi2 ding4 yao4 dao4 jia1.",
            "lao3 shi1 jiao1 xue2 sheng5 xie3 han4 zi4.",
        ),
    ),
    Language(
        name="Vietnamese",
        voice="vi",
        sentences=(
            "Hôm nay trời đẹp, chúng tôi đi dạo trong công viên.",
            "Xin hỏi, nhà ga ở đâu?",
            "Anh ấy không nói vì sao không thể đến.",
            "Cô giáo dạy học sinh viết chữ.",
            "Tôi muốn mua hai cân cam và một quả dừa.",
            "Buổi sáng bà thường uống trà nóng với mẹ tôi.",
        ),
    ),
)


def spoken(language: Language, sample_rate_hz: int) -> Iterator[tuple[str, Wave]]:
    """Each sentence in each voice: a name, and the samples.

    Raises:
        ConfigError: espeak-ng is not installed, or lacks the voice.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise ConfigError("espeak-ng is not installed")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "spoken.wav"
        for number, sentence in enumerate(language.sentences, start=1):
            for height, pitch in _PITCHES.items():
                _speak([program, "-v", language.voice, "-p", str(pitch), "-w", str(file), sentence])
                yield f"{language.name} {number}, {height} voice", read_clip(file, sample_rate_hz)


def _speak(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(
            f"espeak-ng says: {done.stderr.strip() or f'exit status {done.returncode}'}"
        )
