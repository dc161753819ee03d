"""Accepts paths and options in any order, where tyro wants all paths in one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import get_type_hints

from tyro.conf import Positional

from .messages import UsageError


def options_first(arguments: Sequence[str], verb: type) -> list[str]:
    """The same arguments, with the options of `verb` and their values before the paths, and `--`
    between them.

    An option that `verb` has not is a `UsageError`.
    """
    takes_value = {"-h": False, "--help": False, **dict(_options(verb))}
    options: list[str] = []
    paths: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            paths.extend(rest)
        elif argument == "-" or not argument.startswith("-"):
            paths.append(argument)
        else:
            name, is_whole, _ = argument.partition("=")
            option = name.replace("_", "-")
            if option not in takes_value:
                raise UsageError(_unrecognized(name, list(takes_value)))
            options.append(argument)
            if takes_value[option] and not is_whole:
                options.extend(value for value in [next(rest, None)] if value is not None)
    return [*options, "--", *paths] if paths else options


def _options(verb: type) -> Iterator[tuple[str, bool]]:
    """The options, and whether they take a value; those of nested dataclasses have no prefix."""
    hints = get_type_hints(verb, include_extras=True)
    for field in dataclasses.fields(verb):
        if isinstance(field.default_factory, type) and dataclasses.is_dataclass(
            field.default_factory
        ):
            yield from _options(field.default_factory)
        elif not any(item is Positional for item in getattr(hints[field.name], "__metadata__", ())):
            yield "--" + field.name.replace("_", "-"), not isinstance(field.default, bool)


def _unrecognized(option: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(option, known, n=1)
    remedy = f"perhaps you meant {close[0]}" if close else "--help lists the options"
    return f"unrecognized option {option}; {remedy}"
