"""A file whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, BinaryIO

import pytest

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.atomic import atomic_write, free_bytes, remove_leftovers


def new(stream: BinaryIO) -> None:
    stream.write(b"new")


def failing(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    return path


def assert_as_before(old: Path) -> None:
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_the_content_is_there_under_its_name_alone(old: Path) -> None:
    atomic_write(old, new)
    assert old.read_bytes() == b"new"
    assert list(old.parent.iterdir()) == [old]


def test_the_old_content_is_there_until_the_new_one_is_whole(old: Path) -> None:
    def write(stream: BinaryIO) -> None:
        stream.write(b"ne")
        assert old.read_bytes() == b"old"
        assert len(list(old.parent.iterdir())) == 2

    atomic_write(old, write)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(errno.ENOENT, "user's own")])
def test_an_exception_while_writing_comes_through_and_changes_nothing(old: Path, error: BaseException) -> None:
    def write(stream: BinaryIO) -> None:
        stream.write(b"torn")
        raise error

    with pytest.raises(type(error)) as raised:
        atomic_write(old, write)
    assert raised.value is error
    assert_as_before(old)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_storage_that_fails_while_writing_is_told(old: Path, number: int) -> None:
    def write(stream: BinaryIO) -> None:
        stream.write(b"torn")
        raise failing(number)

    with pytest.raises(OutputDirectoryError, match=f"cannot write {old}"):
        atomic_write(old, write)
    assert_as_before(old)


@pytest.mark.parametrize("step", ["open", "fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS])
def test_storage_that_fails_at_any_step_changes_nothing(
    old: Path, step: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failing(number)

    with monkeypatch.context() as patch:
        patch.setattr(*{"open": (os, "open"), "fsync": (os, "fsync"), "rename": (Path, "replace")}[step], fail)
        with pytest.raises(OutputDirectoryError, match=f"cannot write {old}"):
            atomic_write(old, new)
    assert_as_before(old)


def test_a_quota_that_shows_only_at_close_is_told(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen

    class Late:
        def __init__(self, stream: IO[bytes]) -> None:
            self._stream = stream

        def __getattr__(self, name: str) -> object:
            return getattr(self._stream, name)

        def close(self) -> None:
            self._stream.close()
            raise failing(errno.EDQUOT)

    monkeypatch.setattr(os, "fdopen", lambda descriptor, mode: Late(real(descriptor, "wb")))
    with pytest.raises(OutputDirectoryError, match="the disk quota is used up"):
        atomic_write(old, new)
    assert_as_before(old)


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path) -> None:
    def write(_: BinaryIO) -> None:
        raise failing(errno.ENOSPC)

    with pytest.raises(OutputDirectoryError, match=r"no space left on the device \([\d.]+ \w+ free in .*; make room"):
        atomic_write(tmp_path / "f", write)


def test_a_directory_that_cannot_be_synced_is_no_fault(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise failing(errno.EINVAL)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    atomic_write(old, new)
    assert old.read_bytes() == b"new"


def test_a_file_system_without_fsync_is_no_fault(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_: int) -> None:
        raise failing(errno.ENOTSUP)

    monkeypatch.setattr(os, "fsync", unsupported)
    atomic_write(old, new)
    assert old.read_bytes() == b"new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_mode_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "f", new)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputDirectoryError, match="No such file or directory"):
        atomic_write(tmp_path / "gone" / "f", new)


def test_a_long_name_that_is_valid_can_be_written(tmp_path: Path) -> None:
    atomic_write(tmp_path / ("x" * 255), new)


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    others = {".pocket-exec-notes.tmp", "a.tmp", ".pocket-exec-0123456789abcdef.tmp.bak"}
    for name in (".pocket-exec-0123456789abcdef.tmp", *others):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_file_system_that_does_not_say_is_not_full(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path) or 0) > 0
    assert free_bytes(tmp_path / "gone") is None
