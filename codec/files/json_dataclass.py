"""Builds dataclasses from JSON strictly: no field may be unknown, missing or of another type."""

from __future__ import annotations

import dataclasses
import functools
import math
import reprlib
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import ConfigError

__all__ = ["from_plain"]

T = TypeVar("T")


_types_of = functools.cache(get_type_hints)  # a model has many stages of one class


class _Misfit(Exception):
    """A value is not of the type that its field has."""


def from_plain(cls: type[T], given: Any) -> T:
    """A dataclass from the plain types of JSON, the inverse of `dataclasses.asdict`.

    Fields are int, float (finite; a whole number will do), bool, str, `Literal`, tuples of these,
    dicts of these by name, other such dataclasses, or one of these or None. Lists become tuples.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not of its field's type; the message
            names it.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Window:
        ...     samples: int
        ...     share: float = 0.5
        >>> from_plain(Window, {"samples": 512, "share": 1})
        Window(samples=512, share=1.0)
    """
    if not isinstance(given, dict):
        raise ConfigError(f"{cls.__name__} is a JSON object, not {type(given).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(given) - set(fields)):
        raise ConfigError(
            f"{cls.__name__} has no field {', '.join(unknown)}; this file may need a newer "
            f"diveq-codec"
        )
    if missing := sorted(
        name for name, field in fields.items() if _is_needed(field) and name not in given
    ):
        raise ConfigError(f"{cls.__name__} lacks {', '.join(missing)}")
    types = _types_of(cls)
    values = {}
    for name, value in given.items():
        try:
            values[name] = _convert(types[name], value)
        except _Misfit:
            expected = _describe(types[name])
            raise ConfigError(
                f"{cls.__name__}.{name} is {expected}, not {reprlib.repr(value)}"
            ) from None
    return cls(**values)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(expected: Any, value: Any) -> Any:
    """The value as a field of this type holds it."""
    if dataclasses.is_dataclass(expected):
        return from_plain(expected, value)  # pyright: ignore[reportArgumentType] (a class, not an instance)
    if _is_optional(expected):
        return None if value is None else _convert(get_args(expected)[0], value)
    if get_origin(expected) is tuple:
        return _convert_list(get_args(expected), value)
    if get_origin(expected) is dict:
        return _convert_object(get_args(expected)[1], value)
    if expected is float:
        return _convert_float(value)
    fits = (
        value in get_args(expected) if get_origin(expected) is Literal else type(value) is expected
    )
    if not fits:
        raise _Misfit
    return value


def _convert_list(items: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Misfit
    expected = items[:1] * len(value) if items[-1] is Ellipsis else items
    if len(expected) != len(value):
        raise _Misfit
    return tuple(_convert(item, part) for item, part in zip(expected, value, strict=True))


def _convert_object(item: Any, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Misfit
    return {name: _convert(item, part) for name, part in value.items()}


def _convert_float(value: Any) -> float:
    if type(value) not in (int, float):
        raise _Misfit
    try:
        number = float(value)
    except OverflowError:
        raise _Misfit from None
    if not math.isfinite(number):
        raise _Misfit
    return number


def _is_optional(expected: Any) -> bool:
    return get_origin(expected) in (Union, UnionType)


_SINGULAR = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
_PLURAL = {int: "whole numbers", float: "numbers", bool: "true or false", str: "strings"}


def _describe(expected: Any) -> str:
    if _is_optional(expected):
        return f"{_describe(get_args(expected)[0])} or null"
    if get_origin(expected) is Literal:
        return f"one of {', '.join(map(repr, get_args(expected)))}"
    if get_origin(expected) is tuple:
        return f"a list of {_describe_items(get_args(expected))}"
    if get_origin(expected) is dict:
        return "a JSON object"
    return _SINGULAR[expected]


def _describe_items(items: tuple[Any, ...]) -> str:
    count = "" if items[-1] is Ellipsis else f"{len(items)} "
    if get_origin(items[0]) is tuple:
        return f"{count}lists of {_describe_items(get_args(items[0]))}"
    return count + _PLURAL.get(items[0], "JSON objects")
