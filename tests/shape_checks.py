"""Shapes in signatures, checked by beartype at each call."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping


@contextmanager
def shapes_checked(*packages: str) -> Iterator[None]:
    """Modules of these packages that are imported meanwhile check the shapes in their signatures.

    The package imports jaxtyping for type checkers alone, so that nobody needs it to run a codec.
    beartype evaluates annotations when a function is defined or first called; it finds the names
    among the built-in ones.
    """
    for name in ("Bool", "Float", "Float64", "Int", "Int16", "Int64"):
        setattr(builtins, name, getattr(jaxtyping, name))
    with jaxtyping.install_import_hook(list(packages), "beartype.beartype"):
        yield
