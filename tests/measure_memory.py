"""Peak memory and speed of the command line on a long file: encode, decode, and whether the length
is exact.

    python tests/measure_memory.py --hours 2

Linux and macOS. Makes the audio (synthetic speech, 16 kHz, 16 bits), runs `diveq-codec` on it in
processes of their own, and prints one line each with the operating system's own figure for the
largest memory it held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from synthesis import synthesize_speech


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=int, default=16_000, help="sample rate of the file, Hz")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speech, coded, heard = (
            Path(folder) / name for name in ("speech.wav", "coded.dvq", "heard.wav")
        )
        samples = write_speech(speech, arguments.hours, arguments.rate)
        measure("encode", [str(speech), str(coded)], samples / arguments.rate)
        measure("decode", [str(coded), str(heard)], samples / arguments.rate)
        decoded = soundfile.info(str(heard))
        print(
            f"samples in {samples}, out {decoded.frames}; file {coded.stat().st_size / 1e6:.2f} MB"
        )
        if decoded.frames != samples:
            sys.exit("the length differs")


def write_speech(path: Path, hours: float, rate: int) -> int:
    """A minute of synthetic speech, over and over."""
    minute = synthesize_speech(60.0, sample_rate_hz=rate)
    samples = round(hours * 3600 * rate)
    with soundfile.SoundFile(str(path), "w", rate, 1, "PCM_16") as file:
        for start in range(0, samples, len(minute)):
            file.write(minute[: samples - start])
    return samples


def measure(verb: str, paths: list[str], seconds: float) -> None:
    """Run one command; its peak memory is that of the process that was waited for."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "codec.cli", verb, *paths])
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.monotonic() - started
    if status:
        sys.exit(f"{verb} failed")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{verb}: peak {peak / 1e6:.0f} MB, {elapsed:.0f} s, {seconds / elapsed:.0f} x real time")


if __name__ == "__main__":
    main()
