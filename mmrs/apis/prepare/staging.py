"""A set that is built beside its place, piece by piece, and appears there whole."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmrs.apis.prepare.files import file_sha256
from mmrs.errors import OutputError

MANIFEST = "manifest.json"
BLOCK = "dataset.py"
_JOURNAL = ".journal.jsonl"
_LOCK = ".lock"
SCRATCH = ".scratch"
# from here on one flush of the whole system is faster than one for each file
_MANY = 500


class Staging:
    """The folder ``OUT.partial``: tiles, and a journal with a line for each finished image.

    A killed run leaves it; the next one with the same settings goes on from it.

    Args:
        out: The folder that the set will be.
        key: What the set depends on; another key starts afresh.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.out = out
        self.key = key
        self.root = out.with_name(f"{out.name}.partial")
        self._done: dict[str, dict[str, Any]] = {}

    @contextmanager
    def opened(self) -> Iterator[Staging]:
        """Hold the folder for this process alone while the block runs.

        Raises:
            OutputError: Another process holds it, or the disk does not let us.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / _LOCK, "w")
        except OSError as error:
            raise OutputError(
                f"cannot be made ({error.strerror})", where=self.root, fix="choose another OUT"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OutputError(
                    "another run is preparing this set", where=self.root, fix="wait for it"
                ) from error
            self._load()
            try:
                yield self
            finally:
                shutil.rmtree(self.scratch, ignore_errors=True)
                self._remove_if_empty()

    @property
    def scratch(self) -> Path:
        """A folder for unpacked members, removed at the end."""
        return self.root / SCRATCH

    def done(self, job_id: str, stamp: str) -> dict[str, Any] | None:
        """The record of an image that is there in full; None where it has to be made."""
        line = self._done.get(job_id)
        if line is None or line["stamp"] != stamp:
            return None
        return line["record"] if tiles_are_whole(self.root, line["record"]) else None

    def note(self, job_id: str, stamp: str, record: Mapping[str, Any]) -> None:
        """Remember an image as finished."""
        line = json.dumps({"id": job_id, "stamp": stamp, "record": record})
        try:
            with open(self.root / _JOURNAL, "a", encoding="utf-8") as journal:
                journal.write(line + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot be written ({error.strerror})", where=self.root / _JOURNAL,
                fix="free space on the disk",
            ) from error  # fmt: skip

    def sweep(self, records: list[dict[str, Any]]) -> None:
        """Remove tiles that no record lists: of images that are gone, or cut half before a kill."""
        kept = {name for record in records for tile in record["tiles"] for name in tile["files"]}
        kept |= {_LOCK, _JOURNAL, MANIFEST, BLOCK}
        for parent, folders, names in os.walk(self.root, topdown=False):
            for name in names:
                path = Path(parent, name)
                if path.relative_to(self.root).as_posix() not in kept:
                    path.unlink()
            for name in folders:
                if not any(Path(parent, name).iterdir()):
                    Path(parent, name).rmdir()

    def publish(self) -> None:
        """Put the finished folder into its place, and what was there out of it.

        Raises:
            OutputError: The folders cannot be renamed.
        """
        self._flush()
        # a name of its own: a run that was killed here may have left one behind
        old = self.out.with_name(f"{self.out.name}.replaced-{secrets.token_hex(8)}")
        try:
            shutil.rmtree(self.scratch, ignore_errors=True)
            if self.out.exists():
                os.replace(self.out, old)
            os.replace(self.root, self.out)
            for name in (_JOURNAL, _LOCK):
                (self.out / name).unlink(missing_ok=True)
        except OSError as error:
            if old.exists() and not self.out.exists():
                os.replace(old, self.out)
            raise OutputError(
                f"cannot be put into its place ({error.strerror}); it is complete in {self.root}",
                where=self.out,
                fix="move it there by hand",
            ) from error
        for left in self.out.parent.glob(f"{glob.escape(self.out.name)}.replaced-{'?' * 16}"):
            shutil.rmtree(left, ignore_errors=True)

    def _flush(self) -> None:
        """Bring all files to the disk, before anybody can take the set for finished."""
        paths = [self.root, *self.root.rglob("*")]
        if len(paths) > _MANY:
            os.sync()
            return
        for path in paths:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def _load(self) -> None:
        journal = self.root / _JOURNAL
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
        head = _parse(lines[0]) if lines else None
        if head is None or head.get("key") != self.key:
            self._check_ours()
            for path in self.root.iterdir():
                if path.name != _LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            journal.write_text(json.dumps({"key": self.key}) + "\n", encoding="utf-8")
            return
        for line in lines[1:]:
            parsed = _parse(line)  # the last line may be cut by a kill
            if parsed is not None:
                self._done[parsed["id"]] = parsed
        if not journal.read_bytes().endswith(b"\n"):
            with open(journal, "a", encoding="utf-8") as file:
                file.write("\n")

    def _remove_if_empty(self) -> None:
        """A run that failed before its first image leaves nothing behind."""
        with suppress(OSError):
            names = {path.name for path in self.root.iterdir()}
            journal = self.root / _JOURNAL
            if names == {_JOURNAL, _LOCK} and journal.read_bytes().count(b"\n") == 1:
                journal.unlink()
                (self.root / _LOCK).unlink()
                self.root.rmdir()

    def _check_ours(self) -> None:
        """Refuse to clear a folder that happens to have this name."""
        # a kill while the set is published leaves a manifest and no journal
        if any((self.root / name).is_file() for name in (_JOURNAL, MANIFEST)):
            return
        foreign = [p.name for p in self.root.iterdir() if p.name not in (_LOCK, SCRATCH)]
        if foreign:
            raise OutputError(
                f"holds files that were not made by this command, such as {foreign[0]}, and this "
                "run needs the name for its unfinished files",
                where=self.root,
                fix="move it away, or name another OUT",
            )


def tiles_are_whole(root: Path, record: Mapping[str, Any]) -> bool:
    """Whether all tiles of a record are there with the bytes that it lists."""
    for tile in record["tiles"]:
        for name, (size, digest) in tile["files"].items():
            path = root / name
            if not path.is_file() or path.stat().st_size != size or file_sha256(path) != digest:
                return False
    return True


def read_manifest(out: Path) -> dict[str, Any] | None:
    """The manifest of a prepared set; None where there is none that can be read."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "images" in manifest else None


def check_replaceable(out: Path) -> None:
    """Refuse to replace a folder that holds files which no manifest of ours lists.

    Raises:
        OutputError: With one of them.
    """
    manifest = read_manifest(out) or {"images": []}
    ours = {
        name for image in manifest["images"] for tile in image["tiles"] for name in tile["files"]
    }
    if manifest["images"]:
        # the last two where a run was killed just before it removed them
        ours |= {MANIFEST, BLOCK, *manifest.get("lists", ()), _JOURNAL, _LOCK}
    foreign = [
        path
        for path in out.rglob("*")
        if not path.is_dir() and path.relative_to(out).as_posix() not in ours
    ]
    if foreign:
        raise OutputError(
            f"holds {len(foreign)} files that were not made by this command, such as "
            f"{foreign[0].relative_to(out)}",
            where=out,
            fix="name another OUT, or move them away",
        )


def _parse(line: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
