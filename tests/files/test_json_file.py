"""JSON is read from files and pipes, and from nothing that does not end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from codec.files import json_file
from codec.files.json_file import read_json


def test_what_a_file_holds(tmp_path):
    (tmp_path / "a.json").write_text('{"ä": [1, null]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"ä": [1, None]}


def test_a_pipe():
    out, into = os.pipe()
    with os.fdopen(into, "w") as file:
        threading.Thread(target=lambda: (file.write("[1]"), file.close())).start()
        assert read_json(f"/dev/fd/{out}") == [1]
    os.close(out)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "Expecting value"), (b"{", "Expecting property"), (b"\xff\xfe[\x00]\x00", "utf-8")],
)
def test_no_json(tmp_path, data, reason):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_json(tmp_path / "a.json")


def test_a_file_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(json_file, "_MOST_BYTES", 2**20)
    (tmp_path / "a.json").write_bytes(b"[" + b" " * (2**20 - 2) + b"]")
    assert read_json(tmp_path / "a.json") == []
    (tmp_path / "a.json").write_bytes(b"[" + b" " * (2**20 - 1) + b"]")
    with pytest.raises(ValueError, match="longer than 1 MiB"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_a_device_that_never_ends():
    with pytest.raises(ValueError, match="longer than 256 MiB"):
        read_json("/dev/zero")
