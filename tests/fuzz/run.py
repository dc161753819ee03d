"""Fuzz, guided by coverage: `PYTHONPATH=tests:. python -m fuzz.run all|TARGET SECONDS` (pip install
atheris).

Inputs that reach new code are added to `runs/fuzz/TARGET`; one that finds a fault is written beside
the traceback, and ends the target. Seconds are of the processor, so that a busy machine fuzzes as
much as an idle one. With `all`, each target takes so many in a process of its own, and a table
tells what came of it. `python -m fuzz.run TARGET minimise` adds the smallest
set of inputs that reaches as much to the corpus.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FOUND = Path("runs/fuzz")
CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096


def main(target: str, seconds: str) -> None:
    if target == "all":
        fuzz_all(seconds)
        return
    import atheris

    with atheris.instrument_imports(include=["codec"]):  # pyright: ignore[reportAttributeAccessIssue]
        from fuzz.targets import TARGETS

    (FOUND / target).mkdir(parents=True, exist_ok=True)
    test = TARGETS[target]
    if seconds == "minimise":
        options = ["-merge=1", str(CORPUS / target), str(FOUND / target)]
    else:
        test = limited(test, float(seconds))
        options = ["-timeout=60", "-print_final_stats=1", f"-artifact_prefix={FOUND}/{target}-"]
        options += [str(FOUND / target), str(CORPUS / target)]
    atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", *options], test)
    atheris.Fuzz()


def limited(test: Callable[[bytes], None], seconds: float) -> Callable[[bytes], None]:
    """`test`, which asks libFuzzer to end after so many seconds of processor time."""
    stop = time.process_time() + seconds

    def test_until_then(data: bytes) -> None:
        test(data)
        if time.process_time() > stop:
            os.kill(os.getpid(), signal.SIGUSR1)

    return test_until_then


def fuzz_all(seconds: str) -> None:
    """A line per target: what libFuzzer said last, and the CPU seconds that it had."""
    print("| target | inputs run | branches reached | CPU s | found |\n|---|---|---|---|---|")
    for target in sorted(path.name for path in CORPUS.iterdir()):
        before = os.times()
        process = subprocess.run(
            [sys.executable, "-m", "fuzz.run", target, seconds],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        after = os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        branches = re.findall(r"^#\d+\s.* cov: (\d+)", process.stderr, re.MULTILINE)[-1]
        inputs = re.findall(r"number_of_executed_units: (\d+)", process.stderr)[-1]
        found = "nothing"
        if process.returncode != 0:
            found = re.findall(r"written to (\S+)", process.stderr)[-1]
            print(process.stderr[-8000:], file=sys.stderr)
        print(f"| {target} | {inputs} | {branches} | {cpu:.0f} | {found} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
