"""Metrics of the user: the docstring's example is one."""

from __future__ import annotations

import inspect
import sys
from textwrap import dedent
from types import SimpleNamespace

from codec import load_metric


def test_the_example_can_be_used(tmp_path, monkeypatch):
    _, _, rest = inspect.getdoc(load_metric).partition("in `my_metrics.py`:\n\n")
    example, _, _ = rest.partition("\nand `--plug-in my_metrics:wer`")
    (tmp_path / "my_metrics.py").write_text(dedent(example))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    name, metric = load_metric("my_metrics:wer")
    module = sys.modules["my_metrics"]
    words = SimpleNamespace(words=lambda wave, sample_rate_hz: wave.split())
    monkeypatch.setattr(module, "recogniser", lambda: words)
    monkeypatch.setattr(
        module, "edit_distance", lambda a, b: sum(map(str.__ne__, a, b)), raising=False
    )
    assert (name, metric.title, metric.unit, metric.higher_is_better) == (
        "wer",
        "Word error rate",
        "%",
        False,
    )
    assert metric.measure("a b c d", "a b x d", sample_rate_hz=16_000) == 25
