"""Downloads from a server on this machine: whole, broken off, wrong, hostile."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import get_args

import pytest
from local_mirror import packed, serve, write_libritts

from recipes.runs.libritts import download, transfer
from recipes.runs.libritts.transfer import DownloadError, fetch

CONTENT = bytes(range(256)) * 4096
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirror():
    with serve() as running:
        running.files["file"] = CONTENT
        yield running


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("original")
    subsets = {"train-clean-100": {"11": 2, "12": 1}, "dev-clean": {"21": 1}}
    for subset, speakers in subsets.items():
        write_libritts(root / subset, subset, speakers, seconds=0.5)
    return {
        f"{subset}.tar.gz": packed(root / subset / "LibriTTS", root / f"{subset}.tar.gz")
        for subset in subsets
    }


def arguments(mirror, tmp_path: Path, **options) -> download.Arguments:
    sums = tmp_path / "sums"
    sums.write_text(mirror.sums())
    defaults = {"root": tmp_path / "corpora", "subsets": ("train-clean-100", "dev-clean")}
    return download.Arguments(mirror=mirror.url + "/", checksums=sums, **defaults | options)


def test_a_corpus_is_fetched_once(mirror, archives, tmp_path, capsys):
    mirror.files = archives
    download.main(arguments(mirror, tmp_path))
    corpus = tmp_path / "corpora" / "LibriTTS"
    found = {path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.is_file()}
    expected = {"LICENSE.txt", "dev-clean/21/1001/21_1001_000000_000000.wav"}
    assert expected <= found
    assert len(found) == 1 + 2 * 4
    for name, archive in archives.items():
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in filter(tarfile.TarInfo.isfile, members):
                content = members.extractfile(member)
                assert content is not None
                assert (corpus.parent / member.name).read_bytes() == content.read()
        assert (corpus.parent / name).read_bytes() == archive
    assert [path.name for path in corpus.parent.iterdir() if path.name.startswith(".")] == []
    download.main(arguments(mirror, tmp_path))
    assert len(mirror.requests) == 2
    assert "dev-clean is there already" in capsys.readouterr().err


def test_an_archive_that_is_there_is_checked_and_used(mirror, archives, tmp_path):
    mirror.files = archives
    corpora = tmp_path / "corpora"
    corpora.mkdir()
    (corpora / "dev-clean.tar.gz").write_bytes(archives["dev-clean.tar.gz"])
    download.main(arguments(mirror, tmp_path, subsets=("dev-clean",), delete_archives=True))
    assert mirror.requests == []
    assert [path.name for path in corpora.iterdir()] == ["LibriTTS"]
    (corpora / "train-clean-100.tar.gz").write_bytes(b"something else")
    with pytest.raises(
        DownloadError, match=r"train-clean-100.tar.gz has SHA-256 .*, expected .*; delete it"
    ):
        download.main(arguments(mirror, tmp_path))


def test_a_broken_transfer_goes_on_where_it_stopped(mirror, tmp_path):
    mirror.break_after = [1000, 300_000, 0, 5]
    seen = []
    fetch(
        f"{mirror.url}/file",
        tmp_path / "f",
        sha256=SUM,
        report=lambda *at: seen.append(at),
        pause_s=0,
    )
    assert (tmp_path / "f").read_bytes() == CONTENT
    ranges = [asked for _, asked in mirror.requests]
    assert ranges == [None, "bytes=1000-", "bytes=301000-", "bytes=301000-", "bytes=301005-"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_later_call_goes_on_too(mirror, tmp_path):
    mirror.break_after = [1000, 0]
    with pytest.raises(
        DownloadError, match=r"ended after 1000 of 1048576 bytes; 1000 bytes are kept, run again"
    ):
        fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, attempts=1, pause_s=0)
    fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, attempts=1, pause_s=0)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert mirror.requests[-1] == ("file", "bytes=1000-")


def test_a_server_without_ranges_starts_anew(mirror, tmp_path):
    mirror.knows_ranges = False
    mirror.break_after = [1000]
    fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [CONTENT, CONTENT + b"more"])
def test_a_part_as_long_as_the_file_or_longer(mirror, tmp_path, kept):
    (tmp_path / "f.part").write_bytes(kept)
    fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert len(mirror.requests) == (1 if kept == CONTENT else 2)


def test_a_wrong_checksum_leaves_nothing(mirror, tmp_path):
    with pytest.raises(
        DownloadError, match=f"has SHA-256 {SUM}, expected {'0' * 64}; what was fetched is deleted"
    ):
        fetch(f"{mirror.url}/file", tmp_path / "f", sha256="0" * 64, pause_s=0)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_found_out(mirror, tmp_path):
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="what was fetched is deleted"):
        fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_refusals_end_at_once_and_troubles_are_tried_again(mirror, tmp_path):
    with pytest.raises(DownloadError, match=r"cannot fetch http://.*/nothing: HTTP 404 Not Found$"):
        fetch(f"{mirror.url}/nothing", tmp_path / "f", sha256=SUM, pause_s=0)
    assert len(mirror.requests) == 1
    mirror.statuses = [503, 429, 500]
    fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    assert len(mirror.requests) == 5
    mirror.statuses = [503] * 10
    with pytest.raises(DownloadError, match="HTTP 503"):
        fetch(f"{mirror.url}/file", tmp_path / "g", sha256=SUM, attempts=3, pause_s=0)
    assert len(mirror.statuses) == 7


def test_a_full_disk_and_a_strange_address(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(
        transfer.shutil, "disk_usage", lambda path: transfer.shutil._ntuple_diskusage(10, 5, 5)
    )
    with pytest.raises(
        DownloadError, match=r"f.part lacks 1048576 bytes, but its disk has only 5 bytes free"
    ):
        fetch(f"{mirror.url}/file", tmp_path / "f", sha256=SUM, pause_s=0)
    with pytest.raises(DownloadError, match="file:///etc/passwd is not an HTTP address"):
        fetch("file:///etc/passwd", tmp_path / "f", sha256=SUM, pause_s=0)


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (member("LibriTTS/../../outside"), "'LibriTTS/../../outside' would lie outside"),
        (member("../outside"), "would lie outside"),
        (member("/tmp/outside"), "would lie outside"),
        (member("LibriTTS\\..\\..\\outside"), "would lie outside"),
        (member("C:outside"), "would lie outside"),
        (member("\\\\server\\share\\outside"), "would lie outside"),
        (
            member("LibriTTS/link", tarfile.SYMTYPE, ".."),
            "'LibriTTS/link' is neither file nor folder",
        ),
        (member("LibriTTS/link", tarfile.LNKTYPE, "../outside"), "neither file nor folder"),
        (member("LibriTTS/pipe", tarfile.FIFOTYPE), "neither file nor folder"),
        (member("LibriTTS/disk", tarfile.BLKTYPE), "neither file nor folder"),
    ],
)
def test_hostile_members_are_refused(mirror, tmp_path, hostile, message):
    path = tmp_path / "dev-clean.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(member("LibriTTS/dev-clean/good"))
        archive.addfile(hostile)
        archive.addfile(member("LibriTTS/link/through"))
    mirror.files = {path.name: path.read_bytes()}
    path.unlink()
    with pytest.raises(DownloadError, match=message.replace("\\", r"\\").replace(".", r"\.")):
        download.main(arguments(mirror, tmp_path, subsets=("dev-clean",)))
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "corpora",
        "dev-clean.tar.gz",
        "sums",
    ]


@pytest.mark.parametrize("length", [0, 20, 10_000])
def test_cut_archives_leave_no_folder(mirror, archives, tmp_path, length):
    """With a checksum that fits, as a mirror of damaged archives would have."""
    mirror.files = {"dev-clean.tar.gz": archives["dev-clean.tar.gz"][:length]}
    with pytest.raises(DownloadError, match=r"cannot unpack .*dev-clean.tar.gz"):
        download.main(arguments(mirror, tmp_path, subsets=("dev-clean",)))
    assert [path.name for path in (tmp_path / "corpora").iterdir()] == ["dev-clean.tar.gz"]


def test_an_archive_of_another_subset_is_refused(mirror, archives, tmp_path):
    mirror.files = {"dev-clean.tar.gz": archives["train-clean-100.tar.gz"]}
    with pytest.raises(
        DownloadError, match="has no folder LibriTTS/dev-clean; it is not that part of LibriTTS"
    ):
        download.main(arguments(mirror, tmp_path, subsets=("dev-clean",)))


def test_checksums_are_read_as_sha256sum_writes_them(tmp_path):
    path = tmp_path / "sums"
    path.write_text(f"{'A' * 64}  dev-clean.tar.gz\n\n{'b' * 64} *test-clean.tar.gz\n")
    assert download.read_checksums(path) == {"dev-clean": "a" * 64, "test-clean": "b" * 64}
    path.write_text("abc dev-clean.tar.gz")
    with pytest.raises(DownloadError, match=r"'abc dev-clean.tar.gz' is not a line of sha256sum"):
        download.read_checksums(path)
    with pytest.raises(DownloadError, match="cannot read the checksums"):
        download.read_checksums(tmp_path / "none")
    path.write_text(f"{'a' * 64}  dev-clean.tar.gz")
    with pytest.raises(
        DownloadError, match="there is no checksum for test-clean; known: dev-clean"
    ):
        download.main(
            download.Arguments(root=tmp_path / "corpora", subsets=("test-clean",), checksums=path)
        )


def test_every_official_archive_has_a_checksum():
    assert set(download.OFFICIAL_SHA256) == set(get_args(download.Subset))
    assert all(len(bytes.fromhex(digest)) == 32 for digest in download.OFFICIAL_SHA256.values())
