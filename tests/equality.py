"""Equality of training states, for tests."""

from __future__ import annotations

from typing import Any

import torch


def assert_equal_states(one: Any, other: Any, path: str = "") -> None:
    """Tensor for tensor, through dicts and lists."""
    assert type(one) is type(other), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal_states(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal_states(a, b, f"{path}/{index}")
    else:
        assert one == other, path
