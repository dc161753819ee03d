"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys

import pytest

from codec.errors import OutputError
from codec.files.output import (
    atomic_output,
    atomic_path,
    is_being_written,
    remove_stale_parts,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and special files")


def test_appears_at_the_end_and_leaves_nothing_else(tmp_path):
    with atomic_output(tmp_path / "out") as file:
        file.write(b"new")
        file.flush()
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failure_leaves_the_folder_as_it_was(tmp_path, overwrite, failure):
    if overwrite:
        (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(failure):
        write_and_fail(tmp_path / "out", overwrite, failure)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {"out": b"old"} if overwrite else {}
    )


def write_and_fail(path, overwrite, failure):
    with atomic_output(path, overwrite=overwrite) as file:
        file.write(b"half")
        raise failure


def test_refuses_to_overwrite_before_any_work(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OutputError, match="out exists already"), atomic_output(tmp_path / "out"):
        pytest.fail("the block was entered")
    with atomic_output(tmp_path / "out", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "out").read_bytes() == b"new"


@pytest.mark.parametrize("hard_links", [True, False])
def test_refuses_a_file_that_appeared_meanwhile(tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", no_hard_links)
    with pytest.raises(OutputError, match="exists already"):
        write_while_another_does(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"theirs"}


def write_while_another_does(path):
    with atomic_output(path) as file:
        file.write(b"mine")
        path.write_bytes(b"theirs")


def test_works_on_file_systems_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_hard_links)
    with atomic_output(tmp_path / "out") as file:
        file.write(b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"new"}


def no_hard_links(*_arguments):
    raise OSError(errno.EPERM, "no hard links here")


@posix
def test_permissions_come_from_the_umask_or_from_the_replaced_file(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "new"):
            pass
        (tmp_path / "old").write_bytes(b"")
        (tmp_path / "old").chmod(0o600)
        with atomic_output(tmp_path / "old", overwrite=True):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600


@posix
def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    with atomic_output(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@posix
def test_a_device_is_written_and_not_replaced():
    with atomic_output("/dev/null") as file:
        file.write(b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_folders_as_targets_and_missing_folders_are_errors(tmp_path):
    with (
        pytest.raises(OutputError, match="it is a folder"),
        atomic_output(tmp_path, overwrite=True),
    ):
        pass
    with (
        pytest.raises(OutputError, match="there is no folder"),
        atomic_output(tmp_path / "a" / "b"),
    ):
        pass


@posix
def test_what_a_killed_second_writer_left_is_removed(tmp_path):
    """Each of several writers has a name of its own, which the next one knows."""
    target = tmp_path / "a"
    with contextlib.ExitStack() as stack:
        for text in (b"1", b"22", b"333", b"4444"):
            stack.enter_context(atomic_output(target, overwrite=True)).write(text)
        assert is_being_written(target)
        left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(OutputError, match="File exists"), atomic_output(target):
            pass
    assert len(left) == 4
    for name in left:  # as SIGKILL leaves them: unlocked
        (tmp_path / name).touch()
    assert not is_being_written(target)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"1"  # the first to begin was the last to end


def test_leftovers_of_a_folder_are_removed_and_what_is_being_written_is_not(tmp_path):
    (tmp_path / ".0123.part").write_bytes(b"left")
    (tmp_path / "other.part").write_bytes(b"of somebody else")
    with atomic_output(tmp_path / "out") as file:
        remove_stale_parts(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        file.write(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"out", "other.part"}
    assert (tmp_path / "out").read_bytes() == b"new"


@posix
def test_leftovers_on_nfs_are_removed(tmp_path, monkeypatch):
    """NFS gives a lock that excludes others only to who has opened the file for writing: flock(2),
    "NFS details".
    """
    import fcntl

    lock = fcntl.flock

    def nfs_flock(descriptor: int, operation: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open for writing")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", nfs_flock)
    (tmp_path / ".0123.part").write_bytes(b"left")
    remove_stale_parts(tmp_path)
    assert not list(tmp_path.iterdir())


@posix
def test_leftovers_that_may_only_be_read_are_removed(tmp_path):
    (tmp_path / ".0123.part").write_bytes(b"left")
    (tmp_path / ".0123.part").chmod(0o444)
    remove_stale_parts(tmp_path)
    assert not list(tmp_path.iterdir())


def test_path_variant_gives_a_name_in_the_same_folder(tmp_path):
    with atomic_path(tmp_path / "out.bin") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
    assert (tmp_path / "out.bin").read_bytes() == b"new"
