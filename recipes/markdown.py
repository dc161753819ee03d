"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["table"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, are_numbers: bool = False) -> str:
    """Lines of cells below their heads. With `are_numbers`, all columns but the first are aligned
    to the right.
    """
    rule = ["---", *["---:" if are_numbers else "---"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))
