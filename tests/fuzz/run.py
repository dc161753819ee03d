"""Fuzz a target, guided by coverage: `PYTHONPATH=tests:. python -m fuzz.run TARGET SECONDS` (pip
install atheris).

Inputs that reach new code are added to `runs/fuzz/TARGET`; one that finds a fault is written beside
the traceback. `python -m fuzz.run TARGET minimise` adds the smallest set of them that reaches as
much to the corpus.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOUND = Path("runs/fuzz")
CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096


def main(target: str, seconds: str) -> None:
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


if __name__ == "__main__":
    main(*sys.argv[1:])
