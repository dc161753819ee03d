"""Print how large the code is, and how many files one encode passes through.

python -m recipes.measure.code_size
"""

from __future__ import annotations

import ast
import inspect
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from ..markdown import table

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "samples" / "yourtts-vctk-p347_0001.flac"
FOLDERS = ("codec", "cli", "recipes", "tests")
LONGEST_LINE = 100


def main() -> None:
    head = [
        "",
        "files",
        "lines",
        f"over {LONGEST_LINE}",
        "functions",
        "median lines",
        "90th percentile",
        "imports",
    ]
    print(table(head, [[folder, *sizes(ROOT / folder)] for folder in FOLDERS], are_numbers=True))
    print(f"\nentries of codec/: {len(_entries(ROOT / 'codec'))}")
    print(f"files that one encode passes through: {len(files_of_an_encode())}")


def sizes(folder: Path) -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))]
    lines = [line for text in texts for line in text.splitlines()]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    lengths = sorted(_function_lengths(nodes))
    imports = sum(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)
    figures = [
        len(texts),
        len(lines),
        sum(len(line) > LONGEST_LINE for line in lines),
        len(lengths),
        statistics.median(lengths),
        lengths[len(lengths) * 9 // 10],
        imports,
    ]
    return [f"{figure:g}" if isinstance(figure, float) else str(figure) for figure in figures]


def _function_lengths(nodes: list[ast.AST]) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1


def _entries(package: Path) -> list[Path]:
    """The modules and rooms that a newcomer sees first."""
    return [
        path
        for path in package.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]


def files_of_an_encode() -> set[str]:
    """Our files with a function that runs while `diveq-codec encode` codes a clip by
    onnxruntime.
    """
    from cli import main as command_line

    seen: set[str] = set()

    def note(frame: FrameType, _event: str, _argument: Any) -> None:
        if (
            frame.f_code.co_flags & inspect.CO_OPTIMIZED
        ):  # a function, not a module that is imported
            seen.add(frame.f_code.co_filename)

    with tempfile.TemporaryDirectory() as folder:
        command = ["encode", "--backend", "onnx", str(CLIP), str(Path(folder) / "coded.dvq")]
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            command_line(command)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    return {name for name in seen if Path(name).is_relative_to(ROOT)}


if __name__ == "__main__":
    main()
