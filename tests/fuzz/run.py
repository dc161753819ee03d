"""Fuzz, guided by coverage: `PYTHONPATH=tests:. python -m fuzz.run all|TARGET SECONDS` (pip install
atheris).

Inputs that reach new code are added to `runs/fuzz/TARGET`; one that finds a fault is written beside
the traceback, and ends the target. With `all`, each target takes so many seconds in a process of
its own, and a table tells what came of it. `python -m fuzz.run TARGET minimise` adds the smallest
set of inputs that reaches as much to the corpus.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
    if seconds == "minimise":
        options = ["-merge=1", str(CORPUS / target), str(FOUND / target)]
    else:
        options = [f"-max_total_time={seconds}", "-timeout=60", "-print_final_stats=1"]
        options += [
            f"-artifact_prefix={FOUND}/{target}-",
            str(FOUND / target),
            str(CORPUS / target),
        ]
    atheris.Setup([sys.argv[0], f"-max_len={LONGEST}", *options], TARGETS[target])
    atheris.Fuzz()


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
        runs = re.findall(r"^#(\d+)\s.* cov: (\d+)", process.stderr, re.MULTILINE)
        inputs, branches = runs[-1] if runs else ("0", "0")
        found = "nothing" if process.returncode == 0 else process.stderr[-2000:]
        print(f"| {target} | {inputs} | {branches} | {cpu:.0f} | {found} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
