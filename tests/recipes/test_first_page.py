"""README's figures and table say what the results say."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from real_speech import ROOT

from codec import ConfigError
from recipes.first_page import DARK, LIGHT, Arguments, diagram, main, quality_chart, results_table

RESULTS = json.loads((ROOT / "checkpoints" / "results.json").read_text(encoding="utf-8"))


def test_the_repository_has_what_the_command_makes():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"<!-- results -->\n{results_table(RESULTS)}<!-- end -->" in readme
    for theme in (LIGHT, DARK):
        for name, made in (("codec", diagram(theme)), ("quality", quality_chart(RESULTS, theme))):
            assert (ROOT / "docs" / f"{name}-{theme.name}.svg").read_text(encoding="utf-8") == made
            ElementTree.fromstring(made)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 700


def test_a_point_lies_where_its_score_is():
    """Of two systems the one with more kbps is further right, the better one higher."""
    results = {
        "original": {},
        "systems": [
            {"name": "a", "family": "a", "kbps": 2.0, "pesq_wb": 2.0, "distillmos": 3.0},
            {"name": "b", "family": "b", "kbps": 8.0, "pesq_wb": 4.0, "distillmos": 2.0},
        ],
    }
    circles = ElementTree.fromstring(quality_chart(results, LIGHT)).iter(
        "{http://www.w3.org/2000/svg}circle"
    )
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = [
        (float(c.get("cx", 0)), float(c.get("cy", 0))) for c in circles
    ]
    assert x0 < x1 < x2 < x3  # two panels
    assert y0 < y1  # DistillMOS: a is better
    assert y2 > y3  # PESQ: b is


def test_a_readme_without_a_place_for_the_table(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# nothing")
    with pytest.raises(
        ConfigError, match=r"has no place for the table: <!-- results --> … <!-- end -->"
    ):
        main(Arguments(readme=readme, figures=tmp_path))
