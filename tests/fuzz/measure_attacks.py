"""What known attacks cost now: `PYTHONPATH=tests:. python -m fuzz.measure_attacks [FOLDER]`.

Each attack runs in a process of its own, whose CPU seconds and peak memory count. The first table
has the attacks that once cost too much, beside what they cost then; the second what each file of
the corpus costs, and the line above all of
them: a file of n bytes takes at most a·n + b.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from bitstream.examples import content, forged, header, sealed
from golden import make_v1

from codec import model_info, shipped_models
from codec.bitstream.varint import encode_varint

CORPUS = Path(__file__).parent / "corpus"
LIMIT_SECONDS = 60
SILENCE, EMPTY_RANGE = content(4, b""), content(1, b"")

# name: (command, what it cost before: the findings of the first attacks, two busy cores)
ATTACKS = {
    "bomb_1ch": ("decode", "41.9 MB of WAV, 16 to 24 CPU s"),
    "bomb_64ch": ("decode", "2.7 GB of WAV, not done in 25 s"),
    "bomb_64ch768k": ("decode", "129 GB of WAV, 1.98 GB of memory after 12 s"),
    "bomb_recover768": ("decode --recover", "5 to 6 GB of memory, until the disk is full"),
    "bomb_r255": ("decode --recover", "11.6 GB of memory"),
    "bomb_info": ("info", "not done after 80 CPU s"),
    "bomb_info ": ("verify", "13 to 15 CPU s"),
    "noise20": ("verify", "not done after 56 CPU s"),
    "zeros20": ("verify", "not done after 81 CPU s"),
    "noise20 ": ("info", "not done after 56 CPU s"),
    "zeros20 ": ("decode --recover", "not done after 81 CPU s"),
    "damaged20": ("verify", "(new) a foreign byte after each packet of five"),
    "silence10": ("info", "(new) 10 MB of packets of five bytes"),
    "silence10 ": ("verify", "(new)"),
}


def files() -> dict[str, bytes]:
    fingerprint = model_info(shipped_models()[0].path).fingerprint

    def head(channels: int, frames: int, rate_hz: int = 16_000, stages: int = 1):
        return header(
            make_v1.PLAIN[:1] * stages,
            fingerprint=fingerprint,
            channels=channels,
            packet_frames=frames,
            original_rate_hz=rate_hz,
        )

    usual = head(1, 50, stages=14)
    claims = b"\0" + encode_varint(0) + bytes(4)
    short = [sealed(usual, SILENCE, index, 0) + b"\7" for index in range(3_400_000)]
    return {
        "bomb_1ch": forged(head(1, 65_535), EMPTY_RANGE),
        "bomb_64ch": forged(head(64, 16_384), EMPTY_RANGE),
        "bomb_64ch768k": forged(head(64, 16_384, 768_000), EMPTY_RANGE),
        "bomb_recover768": head(64, 16_384, 768_000).to_bytes()
        + sealed(head(64, 16_384, 768_000), claims, 1 << 16, 0),
        "bomb_r255": head(255, 4112, 768_000).to_bytes()
        + sealed(head(255, 4112, 768_000), claims, 1 << 16, 0),
        "bomb_info": forged(head(64, 16_384), *[EMPTY_RANGE] * 20_000),
        "noise20": usual.to_bytes() + np.random.default_rng(0).bytes(20_000_000),
        "zeros20": usual.to_bytes() + bytes(20_000_000),
        "damaged20": usual.to_bytes() + b"".join(short),
        "silence10": forged(usual, *[SILENCE] * 2_000_000),
    }


def run(arguments: list[str]) -> tuple[float, float, str]:
    """CPU seconds, peak memory in MB, and the last line said, of the command line in a process of
    its own.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "codec.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    stop = time.monotonic() + LIMIT_SECONDS
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > stop:
            process.kill()
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    said = process.stderr.read().decode(errors="replace").strip().splitlines()
    last = said[-1] if said else f"rc {process.returncode}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, last


def measure_attacks(folder: Path) -> None:
    # In a process of its own: a large parent would count as memory of the commands that it starts.
    subprocess.run([sys.executable, "-m", "fuzz.measure_attacks", "make", str(folder)], check=True)
    start, memory, _ = run(["--help"])
    print(f"the command line alone: {start:.1f} CPU s, {memory:.0f} MB\n")
    print("| attack | bytes | before | CPU s | MB | what it says |\n|---|---|---|---|---|---|")
    for name, (verb, before) in ATTACKS.items():
        path = folder / f"{name.strip()}.dvq"
        target = [str(folder / "out.w64"), "--force"] if verb.startswith("decode") else []
        verb, *options = verb.split()
        seconds, memory, said = run(
            [verb, str(path), *target, *options, "--backend", "onnx"][: None if target else 2]
        )
        text = said.replace(str(folder) + "/", "")[-90:]
        print(
            f"| {name.strip()} {verb} | {path.stat().st_size:,} | {before} | {seconds:.1f} | "
            f"{memory:.0f} | {text} |"
        )


def measure_corpus() -> None:
    """The cost per byte above the cost of the smallest files, over the targets of the fuzzer."""
    from .targets import TARGETS

    points = []
    for path in sorted(CORPUS.glob("*/*")):
        data, run_target = path.read_bytes(), TARGETS[path.parent.name]
        run_target(data)  # makes tables and imports
        start = time.process_time()
        run_target(data)
        points.append((len(data), time.process_time() - start, f"{path.parent.name}/{path.name}"))
    base = max(seconds for size, seconds, _ in points if size <= 64)
    worst = max(points, key=lambda point: (point[1] - base) / point[0])
    slope = max((worst[1] - base) / worst[0], 0.0)
    crc = zlib.crc32(b"".join(path.read_bytes() for path in sorted(CORPUS.glob("*/*"))))
    print(
        f"\n{len(points)} files of the corpus ({crc:08x}): at most {1e6 * slope:.0f} µs · bytes + "
        f"{base:.3f} s"
    )
    print(f"steepest: {worst[2]}, {worst[0]} bytes, {worst[1]:.3f} s")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["make"]:
        for name, data in files().items():
            (Path(arguments[1]) / f"{name}.dvq").write_bytes(data)
        return
    with tempfile.TemporaryDirectory() as own:
        measure_attacks(Path(arguments[0]) if arguments else Path(own))
    measure_corpus()


if __name__ == "__main__":
    main(sys.argv[1:])
