"""What known attacks cost now: `PYTHONPATH=tests:. python -m fuzz.measure_attacks [FOLDER]`.

Each attack runs in a process of its own, whose CPU seconds and peak memory count. The first table
has the attacks that once cost too much, beside what they cost then; the second those that went
wrong in another way, each with the test that makes it anew; then the line above what all streams of
`cost` take: n bytes at most a·n + b.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from bitstream.examples import content, forged, header, sealed
from golden import make_v1

from codec import model_info, shipped_models
from codec.bitstream.varint import encode_varint

from .cost import dear_packets, peak_bytes, processor_seconds, streams

LIMIT_SECONDS = 60
SMALL = 1000  # bytes
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
    "position10": ("verify", "(new) 10 MB of one index with a position each: 30 CPU s"),
    "depth10": ("verify", "(new) 10 MB of one depth and no code each"),
    "unlike10": ("verify", "(new) 127 stages, none like the next: 520 CPU s"),
    "groups10": ("verify", "(new) 19 groups of frames in 9 bytes: 170 CPU s"),
    "channels10": ("verify", "(new) 8 channels of 17 groups of frames: 50 CPU s"),
    "faulty10": ("verify", "(new) 101 groups of frames, and a fault in each payload: 45 CPU s"),
    "sparse10": ("verify", "(new) 127 stages of three frames of 8,256: 290 CPU s"),
}

# what went wrong, and the test that tries it now
TESTS = {
    "D1 a decode goes on after SIGTERM for 20 s": "cli/test_stop.py -k small_file",
    "D1 a FIFO that nobody writes cannot be stopped": "cli/test_stop.py -k serves",
    "D3 memory grows with channels times rate": "streams/test_limits.py -k channels",
    "D6 an interrupted batch cannot be finished": "cli/test_go_on.py -k sigkill",
    "D6 two runs over one tree both fail": "cli/test_go_on.py -k two_runs",
    "D7 an unreadable folder stops a batch": "cli/test_go_on.py -k cannot_be_read",
    "D8 names that are no text lose an evaluation": "cli/test_eval.py -k no_text",
    "D8 JSON is invalid on a latin-1 output": "cli/test_eval.py -k any_encoding",
    "D9 weights of NaN load": "test_checkpoint.py -k no_numbers",
    "D10 audio of 32768 is coded in silence": "audio/test_sound_files.py -k scaled_as_integers",
    "D11 a model file asks for 14 TiB": "backends/test_model_size.py",
    "D12 names forge lines": "cli/test_go_on.py -k forges_a_line",
    "D12 a name is a formula in the CSV": "cli/test_eval.py -k formulas",
    "D13 rates of a few Hz cost minutes": "audio/test_sound_files.py -k no_sound",
    "D14 false ends of range payloads pass": "bitstream/test_range_coding.py -k bad_payloads",
    "D15 a splice of two files passes": "bitstream/test_recovery.py -k another_stream",
    "D16 the file ./- is standard input": "cli/test_go_on.py -k dash",
    "D17 a fork after loading hangs": "backends/test_threads.py -k forked",
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
        **{
            f"{name}10": forged(head, *[packet] * (10_000_000 // (len(packet) + 4)))
            for name, (head, packet) in dear_packets().items()
            if f"{name}10" in ATTACKS
        },
    }


def run(arguments: list[str]) -> tuple[float, float, str]:
    """CPU seconds, peak memory in MB, and the last line said, of the command line in a process of
    its own.
    """
    with tempfile.TemporaryFile() as errors:  # a pipe would fill up
        process = subprocess.Popen(
            [sys.executable, "-m", "codec.cli", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (LIMIT_SECONDS,) * 2),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    last = said[-1] if said else f"rc {process.returncode}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, last


def measure_attacks(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # In a process of its own: a large parent would count as memory of the commands that it starts.
    subprocess.run([sys.executable, "-m", "fuzz.measure_attacks", "make", str(folder)], check=True)
    start, memory, _ = run(["--help"])
    print(f"the command line alone: {start:.1f} CPU s, {memory:.0f} MB\n", flush=True)
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
            f"{memory:.0f} | {text} |",
            flush=True,
        )


def try_again() -> None:
    print("\n| what went wrong | test | now |\n|---|---|---|")
    for before, test in TESTS.items():
        command = ["pytest", "-q", "-n", "0", f"tests/{test.split()[0]}", *test.split()[1:]]
        process = subprocess.run(
            [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=False
        )
        print(
            f"| {before} | `{' '.join(command)}` | {process.stdout.splitlines()[-1]} |", flush=True
        )


def measure_costs() -> None:
    """The cost per byte above the cost of the smallest streams, in time and memory."""
    sizes, costs, names = [], [], []
    for name, data in streams():
        processor_seconds(data)  # imports
        sizes.append(len(data))
        costs.append((1e6 * processor_seconds(data), peak_bytes(data)))
        names.append(name)
    print(f"\n{len(sizes)} streams; read_info and verify of n bytes take at most")
    size = np.array(sizes)
    for cost, unit in zip(np.array(costs).T, ("µs", "bytes of memory"), strict=True):
        base = cost[size <= SMALL].max()
        slopes = (cost - base) / size
        steepest = int(slopes.argmax())
        print(f"{max(slopes[steepest], 0):.2f}·n + {base:,.0f} {unit} ({names[steepest]})")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["make"]:
        for name, data in files().items():
            (Path(arguments[1]) / f"{name}.dvq").write_bytes(data)
        return
    with tempfile.TemporaryDirectory() as own:
        measure_attacks(Path(arguments[0]) if arguments else Path(own))
    try_again()
    measure_costs()


if __name__ == "__main__":
    main(sys.argv[1:])
