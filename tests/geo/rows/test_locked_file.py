from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from mmrs.errors import OutputError
from mmrs.geo.rows.locked_file import is_held, open_locked, read_at


def test_a_file_is_one_writers_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    file = open_locked(path, tmp_path / "map.tif")
    with pytest.raises(OutputError, match=r"map\.tif: another process is writing it \(it holds lo"):
        open_locked(path, tmp_path / "map.tif")
    os.close(file)
    os.close(open_locked(path, tmp_path / "map.tif"))


def test_the_lock_is_on_the_file_that_bears_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the one that held it deletes it between our opening and our locking
    path, lock = tmp_path / "lock", fcntl.flock

    def delete_and_lock(file: int, how: int) -> None:
        monkeypatch.setattr("fcntl.flock", lock)
        path.unlink()
        lock(file, how)

    monkeypatch.setattr("fcntl.flock", delete_and_lock)
    file = open_locked(path, tmp_path / "map.tif")
    assert os.path.samestat(os.fstat(file), path.stat())
    os.close(file)


def test_a_file_system_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    os.close(open_locked(tmp_path / "lock", tmp_path / "map.tif"))


def test_what_cannot_be_opened_is_told_by_the_targets_name(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"map\.tif: cannot be written \(Is a directory\)"):
        (tmp_path / "lock").mkdir()
        open_locked(tmp_path / "lock", tmp_path / "map.tif")


def test_bytes_are_read_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    file = os.open(tmp_path / "a", os.O_RDONLY)
    assert [read_at(file, 3, 4), read_at(file, 8, 9), read_at(file, 99, 1)] == [b"3456", b"89", b""]
    os.close(file)


def test_whoever_holds_a_file_is_seen_over_nfs_too(tmp_path: Path, monkeypatch) -> None:
    lock = fcntl.flock

    def as_over_nfs(file: int, how: int) -> None:
        # flock becomes a lock of bytes there, which takes a file that may be written
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        lock(file, how)

    monkeypatch.setattr("fcntl.flock", as_over_nfs)
    path = tmp_path / "lock"
    assert not is_held(path)
    file = open_locked(path, tmp_path / "map.tif")
    assert is_held(path)
    os.close(file)
    assert not is_held(path)
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError("no locks")))
    assert not is_held(path)


def test_a_share_that_says_no_permission_means_that_it_is_held(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OutputError, match="another process is writing it"):
        open_locked(tmp_path / "lock", tmp_path / "map.tif")
    assert is_held(tmp_path / "lock")
