"""The figures of the code's size."""

from __future__ import annotations

from recipes.measure.code_size import sizes


def test_functions_lines_and_imports_are_counted(tmp_path):
    (tmp_path / "one.py").write_text("import os\n\ndef f():\n    return os\n")
    (tmp_path / "two.py").write_text(
        "class C:\n    def g(self):\n        x = 1\n\n        return x\n" + "#" * 101
    )
    files, lines, long, functions, median, highest, imports = sizes(tmp_path)
    assert (files, lines, long, functions, median, highest, imports) == (
        "2",
        "10",
        "1",
        "2",
        "3",
        "4",
        "1",
    )
