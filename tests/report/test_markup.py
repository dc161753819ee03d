"""Escaping: whatever a text holds, a parser gives it back, and nothing of it becomes an element."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from report.reading import parse

from codec.report.markup import embedded_json, tag

TEXTS = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))
HOSTILE = "</script><img src=x onerror=alert(1)> & \"quoted\" 'too'"


@given(TEXTS | st.just(HOSTILE))
def test_texts_and_attributes_come_back(text):
    page = parse(tag("p", text, title=text))
    paragraph = page.one("p")
    assert paragraph.children == ([text] if text else [])
    assert paragraph.attributes == {"title": text}


@given(st.recursive(TEXTS | st.just(HOSTILE) | st.integers(), st.lists, max_leaves=5))
def test_json_comes_back_from_inside_of_a_script(value):
    text = embedded_json({"value": value})
    assert not set("<>&") & set(text)
    script = parse(tag("script", text, type="application/json")).one("script")
    assert json.loads(script.text) == {"value": value}


def test_attributes():
    assert tag(
        "input", class_="a", data_part="x", disabled=True, hidden=False, title=None, min=0
    ) == ('<input class="a" data-part="x" disabled min="0">')
