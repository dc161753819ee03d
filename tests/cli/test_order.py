"""Options before, between and after the paths."""

from __future__ import annotations

from itertools import permutations

import pytest
from codec.cli.cut import Cut
from codec.cli.encode import Encode
from codec.cli.order import options_first


@pytest.mark.parametrize(
    ("verb", "arguments", "expected"),
    [
        (Encode, "a.wav --bitrate 3 b.dvq", "--bitrate 3 -- a.wav b.dvq"),
        (Encode, "a.wav b.dvq --bitrate 3", "--bitrate 3 -- a.wav b.dvq"),
        (Encode, "a.wav --bitrate=3 b.dvq", "--bitrate=3 -- a.wav b.dvq"),
        (Encode, "--force a.wav --quiet b.dvq --debug", "--force --quiet --debug -- a.wav b.dvq"),
        (Encode, "- --out-dir x - --position_bits 1", "--out-dir x --position_bits 1 -- - -"),
        (Encode, "a.wav --bitrate -1", "--bitrate -1 -- a.wav"),
        (Encode, "a.wav --force -- -b.dvq --force", "--force -- a.wav -b.dvq --force"),
        (Encode, "a.wav --help b.wav", "--help -- a.wav b.wav"),
        (Encode, "a.wav --stages", "--stages -- a.wav"),
        (Encode, "", ""),
        (Cut, "a.dvq --stages 1 --force b.dvq", "--stages 1 --force -- a.dvq b.dvq"),
    ],
)
def test_options_come_before_the_paths(verb, arguments, expected):
    assert options_first(arguments.split(), verb) == expected.split()


@pytest.mark.parametrize(
    ("verb", "source", "target", "options"),
    [
        ("encode", "speech.wav", "out.dvq", ("--stages", 1)),
        ("decode", "coded.dvq", "out.wav", ("--rate", 8000)),
        ("cut", "coded.dvq", "out.dvq", ("--stages", 1)),
    ],
)
def test_the_order_changes_nothing(call, coded, tiny, verb, source, target, options):
    model = () if verb == "cut" else ("--model", tiny, "--backend", "onnx")
    made = set()
    for words in permutations([(source,), (target,), options, ("--force",)]):
        if words.index((source,)) < words.index((target,)):
            assert call(verb, *model, *(word for group in words for word in group)).code == 0
            made.add((coded / target).read_bytes())
            (coded / target).unlink()
    assert len(made) == 1


def test_options_among_many_files(call, coded, shipped):
    (coded / "second.dvq").write_bytes((coded / "coded.dvq").read_bytes())
    assert (
        call("verify", "coded.dvq", "--debug", "second.dvq").out
        == "coded.dvq: ok\nsecond.dvq: ok\n"
    )
    assert call("info", "--json", "coded.dvq", "--debug", "second.dvq").out.count("\n") == 2


def test_a_name_that_looks_like_an_option(call, coded):
    (coded / "--json").write_bytes((coded / "coded.dvq").read_bytes())
    assert call("verify", "coded.dvq", "--", "--json").out == "coded.dvq: ok\n--json: ok\n"
