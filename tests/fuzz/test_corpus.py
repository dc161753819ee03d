"""Every input that fuzzing kept, once more: those that found a fault, and those that reach far."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.cost import peak_bytes, processor_seconds, streams
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds(target):
    files = [path for path in FILES if path.parent.name == target]
    assert files, "each target has a corpus"
    for path in files:
        TARGETS[target](path.read_bytes())


def test_any_file_goes_through_any_target():
    """A few bytes of each file in the targets that they were not made for."""
    for path in FILES[::7]:
        for run in TARGETS.values():
            run(path.read_bytes()[:200])


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in FILES) <= 1 << 20
    assert {path.parent.name for path in FILES} == set(TARGETS)


def test_a_stream_costs_what_its_bytes_allow():
    """Time and memory of `info` and `verify` are at most linear, whatever the bytes claim."""
    for name, data in streams():
        assert processor_seconds(data) < 1 + 3e-6 * len(data), name
        assert peak_bytes(data) < 4e6 + 200 * len(data), name
