"""The check that configurations are made of."""

from __future__ import annotations

from ..errors import ConfigError


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
