"""Where a measurement goes: OUT.json with its figures and OUT.md with its tables, refused before
the work if there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec import atomic_output
from codec.errors import ConfigError


@dataclass(frozen=True)
class TwoFiles:
    """OUT.json and OUT.md; existing ones are replaced only with `force`."""

    out: Path
    force: bool

    def check(self) -> None:
        """Before the work, not after it: neither file exists, or both may be replaced.

        Raises:
            ConfigError: One exists.
        """
        for file in self._paths():
            if file.exists() and not self.force:
                raise ConfigError(f"{file} exists already; choose another name, or give --force")

    def write(self, figures: dict[str, Any], tables: str) -> None:
        """`figures` are plain types of JSON, `tables` is Markdown."""
        as_json = json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self.out.parent.mkdir(parents=True, exist_ok=True)
        for path, text in zip(self._paths(), (as_json, tables), strict=True):
            with atomic_output(path, overwrite=self.force) as file:
                file.write(text.encode())

    def _paths(self) -> tuple[Path, Path]:
        return self.out.with_name(f"{self.out.name}.json"), self.out.with_name(
            f"{self.out.name}.md"
        )
