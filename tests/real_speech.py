"""Real speech for tests: the dozen clips of `samples/`, and larger sets where they are at hand.

DIVEQ_SPEECH names a folder with `train/` and `val/`; by default it is `../shared/speech`, beside
the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
SPEECH = Path(os.environ.get("DIVEQ_SPEECH", ROOT.parent / "shared" / "speech"))


def needs(folder: Path) -> pytest.MarkDecorator:
    """Skips a test where `folder`, which is below `SPEECH`, is not there."""
    return pytest.mark.skipif(
        not folder.is_dir(), reason=f"{folder} is not there; DIVEQ_SPEECH names another place"
    )
