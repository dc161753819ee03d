"""How many threads compute."""

from __future__ import annotations

import pytest

from codec.threads import THREADS_VARIABLE, allowed_processors, allowed_threads


@pytest.mark.parametrize(
    ("given", "expected"), [("3", 3), ("4,2", 4), (" 2 , 1", 2), ("", 0), ("0", 0), ("many", 0)]
)
def test_the_environment_decides_where_it_names_a_number(monkeypatch, given, expected):
    monkeypatch.setenv(THREADS_VARIABLE, given)
    assert allowed_threads() == (expected or allowed_processors())
