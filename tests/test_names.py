"""No two public classes, and no two modules, share a name, so that a name says which is meant."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = {"Arguments"}  # of a recipe's own `main`, as every recipe has them
# `cli/demo.py` is the verb that `codec/demo.py` carries out.
VERBS_AND_WHAT_THEY_RUN = {
    "answers": ["cli/answers.py", "codec/report/answers.py"],
    "demo": ["cli/demo.py", "codec/demo.py"],
}
RUNS = {"train": [f"recipes/runs/{run}/train.py" for run in ("folder", "libritts", "vctk")]}


def test_no_two_public_classes_have_one_name():
    places: dict[str, list[str]] = defaultdict(list)
    for folder in ("codec", "cli", "recipes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 100
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert twice.keys() - SHARED == set(), twice


def test_no_two_modules_have_one_name():
    places: dict[str, list[str]] = defaultdict(list)
    for folder in ("cli", "codec", "recipes"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.stem not in {"__init__", "__main__"}:
                places[path.stem].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 200
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert twice == VERBS_AND_WHAT_THEY_RUN | RUNS
