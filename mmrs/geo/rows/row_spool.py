"""Finished rows of a scene on disk, beside the file that they will become: what a resume keeps.

An append-only file: a header, then frames of rows (``mmrs.geo.rows.spool_frames``), each with its
checksum.  A process that is killed leaves whole frames and at most one that is cut, which a resume
cuts off.  Nothing is published from here before the last row is in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mmrs.errors import OutputError
from mmrs.geo.atomic import make_folder
from mmrs.geo.disk_space import check_space, write_error
from mmrs.geo.rows.locked_file import open_locked, read_at
from mmrs.geo.rows.scene_rows import SceneRows, Wanted
from mmrs.geo.rows.score_codes import ScoreCode, ScoreType, score_code
from mmrs.geo.rows.spool_frames import ArrayLayout, Arrays, FrameCodec
from mmrs.geo.rows.spool_header import check_same, make_header, pack_header, read_header

_SUFFIX = ".mmrs-rows"
_PIECE_BYTES = 2**25  # of a frame, uncompressed: what reading one back takes of memory
_FLUSH_BYTES = 2**26  # at most this much is lost with the power


def spool_path(target: str | Path) -> Path:
    """Where the rows of a target wait: a hidden file beside it, found again by a resume."""
    target = Path(target)
    name = f".{target.name}{_SUFFIX}"
    if len(os.fsencode(name)) > 255:
        # the system's longest name; a part of it alone need not be the target's own
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}{_SUFFIX}"
    return target.with_name(name)


class RowSpool:
    """Rows of a scene, kept on disk until they are published; use it in a ``with`` block.

    Args:
        path: The target, whose rows these are; the spool lies beside it (``spool_path``).
        fingerprint: Everything that decides what the rows hold (model, scene, windows, ...), as
            JSON can hold it; a resume under another one is refused.
        width: Columns of the scene.
        height: Rows of the scene.
        resume: Keep the rows of an interrupted run, else begin anew.
        wanted: Which scores are kept beside the labels.
        num_classes: Number of classes; bands of the probabilities.
        score_dtype: How scores are stored, see ``mmrs.geo.rows.score_codes``: they are rounded
            here, before anything is published.

    Attributes:
        target: The target.
        path: The spool.
        rows: Rows that are kept; append the next ones.
        code: How scores are stored.
        space_warning: Where the disk may be too small for the rows to come; else None.

    Raises:
        OutputError: Another process has the spool, its folder cannot be written, the disk is
            clearly too small, or the rows to resume were made under another fingerprint.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        fingerprint: Mapping[str, Any],
        width: int,
        height: int,
        resume: bool,
        wanted: Wanted | None = None,
        num_classes: int = 1,
        score_dtype: ScoreType = "uint8",
    ):
        if width < 1 or height < 1:
            raise ValueError(f"height and width must be >= 1, got {height} x {width}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be >= 1, got {num_classes}")
        self.target = Path(path)
        self.path = spool_path(path)
        self.width = width
        self.height = height
        self.wanted = wanted or Wanted()
        self.num_classes = num_classes
        self.code: ScoreCode = score_code(score_dtype)
        self.rows = 0
        layouts = _layouts(self.wanted, num_classes, score_dtype)
        self._codec = FrameCodec(layouts, width)
        self._pixel_bytes = sum(layout.bytes_per_pixel for layout in layouts)
        self._piece_rows = max(1, _PIECE_BYTES // (width * self._pixel_bytes))
        self._frames: list[tuple[int, int]] = []  # first row and byte of every frame
        self._unflushed = 0
        make_folder(self.target)
        self._file = open_locked(self.path, self.target)
        try:
            self._begin(make_header(fingerprint, height, width, layouts), resume)
            left = (height - self.rows) * width
            self.space_warning = check_space(
                self.target, label_bytes=left, score_bytes=left * (self._pixel_bytes - 1)
            )
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, which stays for a resume unless ``delete`` was called."""
        if self._file >= 0:
            os.close(self._file)  # and with it the lock
            self._file = -1

    def delete(self) -> None:
        """Remove the file; it is no longer needed once its rows are published."""
        self.path.unlink(missing_ok=True)
        self.close()

    def append(self, rows: SceneRows) -> None:
        """Keep the next rows; they are on the disk, or at least with the system, on return.

        Args:
            rows: Of the scene's width, with the scores that are wanted.

        Raises:
            ValueError: They are of another width, too many, or lack a score.
            OutputError: They cannot be written; the rows before them are still kept.
        """
        self._check(rows)
        for begin in range(0, len(rows), self._piece_rows):
            piece = slice(begin, begin + self._piece_rows)
            self._append(_encoded(rows, piece, self.wanted, self.code))

    def read(self) -> Iterator[SceneRows]:
        """All rows from the top down, in the pieces written (larger ones in parts).

        Raises:
            OutputError: The spool was damaged since it was written.
        """
        return map(self.decode, self.read_codes())

    def read_rows(self, first: int, last: int) -> SceneRows:
        """The rows from ``first`` to ``last``, the latter left out.

        Raises:
            ValueError: They are not there.
            OutputError: The spool was damaged since it was written.
        """
        if not 0 <= first < last <= self.rows:
            raise ValueError(f"rows {first} to {last} are asked for, but 0 to {self.rows} are kept")
        pieces = []
        for index, (top, _) in enumerate(self._frames):
            if top >= last:
                break
            if self._end(index) > first:
                arrays = self._read_frame(index)
                part = slice(max(0, first - top), last - top)
                pieces.append({name: array[..., part, :] for name, array in arrays.items()})
        joined = {
            name: np.concatenate([piece[name] for piece in pieces], axis=-2) for name in pieces[0]
        }
        return self.decode(joined)

    def read_codes(self) -> Iterator[Arrays]:
        """As ``read``, as it is stored: ``labels`` (n, W) and scores as ``code`` has them.

        ``confidence`` and ``entropy`` are (n, W), ``probabilities`` (K, n, W), where wanted.
        """
        for index in range(len(self._frames)):
            yield self._read_frame(index)

    def decode(self, arrays: Arrays) -> SceneRows:
        """What ``read_codes`` gives as what ``read`` gives."""
        scores = {
            name: self.code.decode(codes) for name, codes in arrays.items() if name != "labels"
        }
        # a copy, because arrays over bytes cannot be written to
        return SceneRows(arrays["labels"].copy(), **scores)

    def _begin(self, header: dict[str, Any], resume: bool) -> None:
        kept = read_header(self._file) if resume else None
        if kept is not None:
            found, end = kept
            check_same(found, header, self.target)
            self._keep_whole_frames(end)
            return
        os.ftruncate(self._file, 0)
        self._size = 0
        self._write(pack_header(header))

    def _keep_whole_frames(self, end: int) -> None:
        """Find the frames that are whole; cut off the first that is not, and all after it."""
        size = os.fstat(self._file).st_size
        while True:
            head = read_at(self._file, end, self._codec.head_bytes)
            if len(head) < self._codec.head_bytes:
                break
            length = self._codec.payload_bytes(head)
            first, rows = self._codec.rows(head)
            # a damaged head can claim any number of rows and any length
            fits = first == self.rows and 1 <= rows <= min(self._piece_rows, self.height - first)
            most = size - end - len(head)
            if not fits or length > min(most, self._codec.most_bytes(rows)):
                break
            if not self._codec.is_whole(head, read_at(self._file, end + len(head), length)):
                break
            self._frames.append((first, end))
            self.rows += rows
            end += len(head) + length
        os.ftruncate(self._file, end)
        self._size = end

    def _check(self, rows: SceneRows) -> None:
        if rows.labels.dtype != np.uint8 or rows.labels.shape != (len(rows), self.width):
            raise ValueError(
                f"labels must be (n, {self.width}) uint8, got {rows.labels.shape} "
                f"{rows.labels.dtype}"
            )
        if self.rows + len(rows) > self.height:
            raise ValueError(f"row {self.rows + len(rows)} of a scene of {self.height}")
        for layout in self._codec.layouts[1:]:
            scores = getattr(rows, layout.name)
            shape = layout.shape(len(rows), self.width)
            if scores is None or scores.shape != shape:
                found = None if scores is None else scores.shape
                raise ValueError(f"{layout.name} must be of shape {shape}, got {found}")

    def _append(self, arrays: Arrays) -> None:
        begin, rows = self._size, len(arrays["labels"])
        self._write(self._codec.pack(self.rows, arrays))
        self._frames.append((self.rows, begin))
        self.rows += rows

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[os.pwrite(self._file, left, self._size + len(content) - len(left)) :]
            self._unflushed += len(content)
            if self._unflushed >= _FLUSH_BYTES:
                os.fsync(self._file)
                self._unflushed = 0
        except OSError as error:
            os.ftruncate(self._file, self._size)  # back to the last whole frame
            raise write_error(self.target, error, needed=len(content)) from error
        self._size += len(content)

    def _end(self, index: int) -> int:
        return self._frames[index + 1][0] if index + 1 < len(self._frames) else self.rows

    def _read_frame(self, index: int) -> Arrays:
        first, begin = self._frames[index]
        head = read_at(self._file, begin, self._codec.head_bytes)
        payload = b""
        if len(head) == self._codec.head_bytes:
            end = self._frames[index + 1][1] if index + 1 < len(self._frames) else self._size
            payload = read_at(self._file, begin + len(head), end - begin - len(head))
        if not payload or not self._codec.is_whole(head, payload):
            raise OutputError(
                f"the rows from {first} on, kept in {self.path.name}, were damaged on the disk",
                where=self.target,
                fix="run again with --resume, which recomputes them",
            )
        return self._codec.unpack(head, payload)


def _layouts(wanted: Wanted, num_classes: int, score_dtype: ScoreType) -> tuple[ArrayLayout, ...]:
    layouts = [ArrayLayout("labels", "uint8")]
    if wanted.confidence:
        layouts.append(ArrayLayout("confidence", score_dtype))
    if wanted.entropy:
        layouts.append(ArrayLayout("entropy", score_dtype))
    if wanted.probabilities:
        layouts.append(ArrayLayout("probabilities", score_dtype, num_classes))
    return tuple(layouts)


def _encoded(rows: SceneRows, piece: slice, wanted: Wanted, code: ScoreCode) -> Arrays:
    arrays: Arrays = {"labels": rows.labels[piece]}
    for name in ("confidence", "entropy", "probabilities"):
        if getattr(wanted, name):
            arrays[name] = code.encode(getattr(rows, name)[..., piece, :])
    return arrays
