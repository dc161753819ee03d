"""Reads JSON files, none of which is endless."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

__all__ = ["read_json"]

_MOST_BYTES = 2**28  # an evaluation of some hundred thousand clips


def read_json(path: str | PathLike[str]) -> Any:
    """What a JSON file, or a pipe, holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON in UTF-8, or longer than 256 MiB, as a device may be.
    """
    with open(path, "rb") as file:
        text = file.read(_MOST_BYTES + 1)
    if len(text) > _MOST_BYTES:
        raise ValueError(f"longer than {_MOST_BYTES >> 20} MiB")
    return json.loads(text.decode("utf-8"))
