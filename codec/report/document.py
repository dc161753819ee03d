"""A whole HTML page, in one file that fetches nothing."""

from __future__ import annotations

import hashlib
import html
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from .markup import Markup

__all__ = ["document", "page_file"]

_BESIDE = " file: 'self'"


def document(
    title: str,
    body: Markup,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    linked_audio: bool = False,
) -> str:
    """Assemble the page.

    A content security policy allows nothing but what is in it: these scripts and styles by their
    digests, and pictures and sound from data URIs; so not even a fault in escaping could run or
    fetch anything.

    Args:
        title: Plain text.
        body: All that is seen.
        styles: Names of style sheets in `pages/`, in order.
        scripts: Names of scripts in `pages/`, in order.
        linked_audio: Allow audio from files beside the page too.
    """
    style = "\n".join(page_file(name) for name in styles)
    script = '"use strict";\n' + "\n".join(page_file(name) for name in scripts)
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        f"img-src data:; "
        f"media-src data:{_BESIDE if linked_audio else ''}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(page_file("page.html")).substitute(
        policy=html.escape(policy), title=html.escape(title), style=style, script=script, body=body
    )


def page_file(name: str) -> str:
    """Read a style sheet, a script or a template from `pages/`."""
    return (files("codec.report") / "pages" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
