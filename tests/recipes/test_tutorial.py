"""The tutorial runs, and what it says is so."""

from __future__ import annotations

from recipes.tutorial import Arguments, main


def test_every_chapter(capsys):
    main(Arguments(steps=6))
    said = capsys.readouterr().out
    assert [line[0] for line in said.splitlines() if line[1:3] == ". "] == list("123456")
    assert "the same in a batch: True" in said
    assert "decoding 4 stages of either gives the same: True" in said
    assert "verify finds 1 fault" in said
    assert "recovered: silence from" in said
    assert said.count("mel") >= 1
