"""Tables in Markdown, byte by byte."""

from __future__ import annotations

from recipes.markdown import table


def test_a_table_has_a_head_a_rule_and_rows():
    rows = [["a", "1", "x"], ["b", "", "y"]]
    assert table(["codec", "kbps", "note"], rows) == (
        "| codec | kbps | note |\n| --- | --- | --- |\n| a | 1 | x |\n| b |  | y |"
    )


def test_numbers_are_aligned_to_the_right():
    assert table(["SNR", "8", "9"], [["a", "1", "2"]], are_numbers=True) == (
        "| SNR | 8 | 9 |\n| --- | ---: | ---: |\n| a | 1 | 2 |"
    )
