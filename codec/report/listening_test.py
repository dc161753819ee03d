"""A blind listening test of an evaluation's clips, on one page.

The page offers a test in the manner of MUSHRA (ITU-R BS.1534: each trial rates all versions of a
clip from 0 to 100, the reference hidden among them, and as low anchor the reference without all
above 3.5 kHz) and an ABX test (is X the reference A, or the coded B?). What is heard goes by opaque
ids; which id is which system stands in the page as base64, so that it is not read by accident:
whoever wants to cheat can.

The answers are saved as a JSON file, names in clear:

    {"format": "diveq-codec listening 1", "evaluation": "3f…", "data": "val",
     "test": "mushra" or "abx", "listener": "Ann", "seed": 7,
     "started": "2026-01-31T12:00:00.000Z", "saved": …, "trials": 8, "answers": […]}

An answer of a MUSHRA test, whose system is null for the hidden reference:

    {"clip": "a.flac", "ratings": [{"system": "Opus 6 kbps", "rating": 62}, …]}

An answer of an ABX test:

    {"clip": "a.flac", "system": "Opus 6 kbps", "a": "reference" or "system",
     "x": "a" or "b", "answer": "a" or "b", "correct": true or false}

Fewer answers than trials: not finished. `diveq-codec answers` sums up such files.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from os import PathLike
from pathlib import Path

from ..errors import ConfigError
from ..evaluation.result import Evaluation, read_evaluation
from .document import document
from .embedded_clips import ANCHOR, ANCHOR_NAME, RecordedClip, Recording, record_clips
from .listening_panel import clip_anchor, embedded_data, transport
from .markup import Markup, tag
from .selection import choose_clips

__all__ = ["listening_page"]

_ABX_TRIALS = 16


def listening_page(evaluation: str | PathLike[str], *, clips: int = 8) -> str:
    """A blind listening test as one HTML page that fetches nothing and saves its answers to a file.

    Args:
        evaluation: The JSON file; recordings are looked for where it names them, relative to its
            folder.
        clips: At most as many are tested, 1 or more, chosen as `report_page` does.

    Raises:
        ConfigError: The file cannot be read, is no evaluation, or none of its recordings can be
            heard.
    """
    found, folder = read_evaluation(evaluation), Path(evaluation).parent
    recorded, missing = record_clips(found, folder, choose_clips(found, clips), with_anchor=True)
    heard = [
        clip for clip in recorded if any(r.system not in (None, ANCHOR) for r in clip.recordings)
    ]
    if not heard:
        reason = f" ({missing[0]})" if missing else ""
        raise ConfigError(
            f"{evaluation}: no clip has recordings of its reference and of a system{reason}"
        )
    identity = hashlib.sha256(found.to_json().encode()).hexdigest()[:16]
    offered = [
        {"id": clip_anchor(clip.clip), "name": found.references[clip.clip].name} for clip in heard
    ]
    key = _key(found, heard, identity)
    facts = {
        "evaluation": identity,
        "trials_id": _trials_id(offered, key),
        "data": found.data,
        "anchor": ANCHOR_NAME,
        "clips": offered,
        "key": key,
    }
    body = tag(
        "main",
        tag("h1", "Blind listening test"),
        _setup(len(heard)),
        _trial(),
        _end(),
        embedded_data("test", facts),
        *(embedded_data(clip_anchor(clip.clip), _clip_data(clip, identity)) for clip in heard),
    )
    return document(
        "Blind listening test",
        body,
        styles=("page.css", "listening.css"),
        scripts=("player.js", "listening.js"),
    )


def _name(evaluation: Evaluation, system: int) -> str:
    return ANCHOR_NAME if system == ANCHOR else evaluation.systems[system].name


def _opaque(identity: str, recording: Recording, clip: int) -> str:
    """Return a random name for a recording; the names of one clip sort in random order."""
    return hashlib.sha256(f"{identity} {clip} {recording.system}".encode()).hexdigest()[:12]


def _key(evaluation: Evaluation, clips: list[RecordedClip], identity: str) -> str:
    """Encode which opaque id is which system (None: the reference), clip by clip, as base64."""
    systems = {
        clip_anchor(clip.clip): {
            _opaque(identity, recording, clip.clip): None
            if recording.system is None
            else _name(evaluation, recording.system)
            for recording in clip.recordings
        }
        for clip in clips
    }
    return b64encode(json.dumps(systems).encode()).decode()


def _trials_id(clips: list[dict[str, str]], key: str) -> str:
    """Hash all that a page's trials follow from besides the seed.

    Answers that a browser keeps fit no others; and an evaluation may have several pages.
    """
    return hashlib.sha256(json.dumps([clips, key]).encode()).hexdigest()[:16]


def _clip_data(clip: RecordedClip, identity: str) -> dict[str, object]:
    audio = {
        _opaque(identity, recording, clip.clip): recording.flac for recording in clip.recordings
    }
    return {"seconds": clip.seconds, "audio": dict(sorted(audio.items()))}


def _setup(clips: int) -> Markup:
    return tag(
        "form",
        tag("noscript", tag("p", "This page needs JavaScript.", class_="alert")),
        tag(
            "p",
            "Listen over headphones in a quiet place. The names of the systems are shown at the "
            "end.",
        ),
        tag(
            "fieldset",
            tag("legend", "Test"),
            _choice(
                "mushra",
                f"Rate all versions of each clip from 0 to 100 (MUSHRA style, {clips} trials)",
                True,
            ),
            _choice("abx", "Say whether X is A or B (ABX)", False),
        ),
        _field(
            "How many trials",
            "count-field",
            type="number",
            name="count",
            min=1,
            max=500,
            value=_ABX_TRIALS,
        ),
        _field("Your name", type="text", name="listener", autocomplete="off"),
        tag(
            "details",
            tag("summary", "Order of the trials"),
            tag(
                "p",
                "It follows from this number: the same number gives the same order.",
                class_="note",
            ),
            _field("Number of the order", type="number", name="seed", min=0, max=4294967295),
        ),
        tag("button", "Start", type="submit", class_="main"),
        tag(
            "p",
            "Your answers are kept in this browser, and leave it only as the file that you save.",
            class_="note",
        ),
        id="setup",
    )


def _choice(value: str, words: str, checked: bool) -> Markup:
    return tag(
        "label",
        tag("input", type="radio", name="kind", value=value, checked=checked),
        words,
        class_="choice",
    )


def _field(words: str, identity: str | None = None, **attributes: str | int) -> Markup:
    entry = tag("input", required=attributes["type"] == "number", **attributes)
    return tag("label", tag("span", words), entry, id=identity, class_="field")


def _trial() -> Markup:
    return tag(
        "section",
        tag("h2", id="trial-title", tabindex=-1),
        tag("progress", id="progress", aria_label="Trials done", value=0, max=1),
        tag("p", id="task"),
        transport(),
        tag("ol", id="versions", class_="versions", role="radiogroup", aria_label="Versions"),
        tag("div", id="decisions", class_="decisions"),
        tag(
            "footer",
            _button("save-now", "Save the answers so far"),
            _button("restart", "Start over"),
            class_="decisions",
        ),
        id="trial",
        tabindex=-1,
        hidden=True,
    )


def _end() -> Markup:
    return tag(
        "section",
        tag("h2", "Done, thank you", id="end-title", tabindex=-1),
        tag("p", id="end-words"),
        tag("div", id="result"),
        tag(
            "div",
            _button("save", "Save the answers", "main"),
            _button("again", "Start over"),
            class_="decisions",
        ),
        id="end",
        hidden=True,
    )


def _button(name: str, words: str, style: str | None = None) -> Markup:
    return tag("button", words, type="button", id=name, class_=style)
