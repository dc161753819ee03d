"""Tables in Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codec.evaluation.result import Mean

__all__ = ["number", "score", "table"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, are_numbers: bool = False) -> str:
    """Lines of cells below their heads. With `are_numbers`, all columns but the first are aligned
    to the right.
    """
    rule = ["---", *["---:" if are_numbers else "---"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows))


def number(value: float | None, digits: int) -> str:
    """A number with so many digits behind its point; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def score(mean: Mean | None, digits: int, *, change: float | None = None) -> str:
    """A mean, in brackets its change, and how many clips have none; a dash where all lack it."""
    if mean is None or mean.mean is None:
        return "-"
    text = number(mean.mean, digits)
    if change is not None:
        text += f" ({change:+.{digits}f})"
    return text + (f" ({mean.failed} failed)" if mean.failed else "")
