"""Paths and options in any order: tyro wants all paths in one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence


def options_first(arguments: Sequence[str], verb: type) -> list[str]:
    """The same arguments, with the options of `verb` and their values before the paths, and `--` between them."""
    flags = {"-h", "--help", *_flags(verb)}
    options: list[str] = []
    paths: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            paths.extend(rest)
        elif argument == "-" or not argument.startswith("-"):
            paths.append(argument)
        else:
            options.append(argument)
            if argument.replace("_", "-") not in flags and "=" not in argument:
                options.extend(value for value in [next(rest, None)] if value is not None)
    return [*options, "--", *paths] if paths else options


def _flags(verb: type) -> Iterator[str]:
    """The options that take no value; those of nested dataclasses have no prefix."""
    for field in dataclasses.fields(verb):
        if isinstance(field.default, bool):
            yield "--" + field.name.replace("_", "-")
        elif isinstance(field.default_factory, type) and dataclasses.is_dataclass(field.default_factory):
            yield from _flags(field.default_factory)
