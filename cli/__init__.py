"""The command line, `diveq-codec`. Installed as `codec.cli`; uses only what `codec.__all__` names.

One module per verb, of the same name; `plan` turns paths into tasks, `batch` works through them,
`console` has the manners. Torch is imported when audio is coded, never before.
"""

from __future__ import annotations

from .entry import main

__all__ = ["main"]
