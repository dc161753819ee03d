"""Recipes are not installed: they are imported from the repository, as `python -m` does when started there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
