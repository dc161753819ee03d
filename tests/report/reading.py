"""A page as a browser's parser sees it, by Python's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"br", "img", "input", "meta", "link"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str | None]
    children: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, name: str | None = None, **attributes: str) -> list[Element]:
        """The elements below, in order; an attribute's name as in `class_`, and with its value
        among others'.
        """
        found: list[Element] = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if child.fits(name, attributes) else []
                found += child.all(name, **attributes)
        return found

    def one(self, name: str | None = None, **attributes: str) -> Element:
        (found,) = self.all(name, **attributes)
        return found

    def fits(self, name: str | None, attributes: dict[str, str]) -> bool:
        def has(key: str, value: str) -> bool:
            return value in (
                self.attributes.get(key.removesuffix("_").replace("_", "-")) or ""
            ).split(" ")

        return name in (None, self.name) and all(
            has(key, value) for key, value in attributes.items()
        )


class _Parser(HTMLParser):
    """Fails where elements do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag, attrs):
        assert len({key for key, _ in attrs}) == len(attrs), f"an attribute of {tag} stands twice"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open[-1].name == tag, f"{tag} is closed inside of {self.open[-1].name}"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    """The whole document; it must be well formed."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.open) == 1, f"{parser.open[-1].name} is never closed"
    return parser.open[0]


def rows_of(table: Element) -> list[list[Element]]:
    """The cells of a table's body."""
    return [
        [cell for cell in row.children if isinstance(cell, Element)]
        for row in table.one("tbody").all("tr")
    ]
