"""HTML and SVG as nested calls, in which every text is escaped unless it was made here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

__all__ = ["Markup", "embedded_json", "join", "tag"]

_VOID = frozenset({"br", "img", "input", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """Make an element.

    Args:
        name: As "td"; SVG's too.
        children: Texts, which are escaped, and elements; None is left out.
        attributes: An underscore at the end is dropped (`class_`), others become hyphens. True
            gives an attribute without a value; None and False give none.

    Example:
        >>> tag("p", "1 < 2, ", tag("b", "sure"), class_="note", hidden=True)
        '<p class="note" hidden>1 &lt; 2, <b>sure</b></p>'
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opening if name in _VOID else f"{opening}{join(children)}</{name}>")


def join(children: Iterable[str | None]) -> Markup:
    """Concatenate; texts are escaped."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def embedded_json(value: Any) -> Markup:
    """Serialise JSON for a script element: nothing in it can end the element or start a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)


def _attribute(key: str, value: str | float | None) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
