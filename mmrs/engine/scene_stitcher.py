"""Windows of a scene put together again, so that every pixel of the scene is judged once.

The order of the windows does not matter, to the last bit: what is added is whole numbers. So parts
of a scene that several processes hold can be merged, and give what one process would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrs.engine.scene_window import SceneWindow
from mmrs.errors import DataError

BLOCK_PX = 256  # a scene's size is not known before its last window: it is kept in blocks
_ONE = 2**22  # a probability of 1; sums of up to 511 windows fit 32 bits
UNSET = -1


@dataclass
class Scene:
    """What is known of a scene so far, in blocks of `BLOCK_PX`.

    Attributes:
        name: Of the scene.
        num_classes: Number of classes.
        by_scores: Whether the votes are sums of probabilities, else the deepest window's class.
        meta: Of its first sample.
        extent: First and last row, first and last column (the last ones excluded) of what its
            windows cover.
        blocks: (row, column) of the block -> its votes and labels: ``votes`` (C, B, B) int32
            sums of probabilities, or (B, B) int64 packed depth and class; ``labels`` (B, B)
            int32, `UNSET` where no window has one.
    """

    name: str
    num_classes: int
    by_scores: bool
    meta: dict[str, Any] = field(default_factory=dict)
    extent: tuple[int, int, int, int] | None = None
    blocks: dict[tuple[int, int], tuple[NDArray, NDArray]] = field(default_factory=dict)

    def block(self, key: tuple[int, int]) -> tuple[NDArray, NDArray]:
        """Votes and labels of a block, empty ones where there are none yet."""
        if key not in self.blocks:
            if self.by_scores:
                votes = np.zeros((self.num_classes, BLOCK_PX, BLOCK_PX), dtype=np.int32)
            else:
                votes = np.full((BLOCK_PX, BLOCK_PX), UNSET, dtype=np.int64)
            self.blocks[key] = (votes, np.full((BLOCK_PX, BLOCK_PX), UNSET, dtype=np.int32))
        return self.blocks[key]

    def add(self, row: int, col: int, votes: NDArray, labels: NDArray, where: Any = None) -> None:
        """Add a window.

        Args:
            row: Its first row in the scene.
            col: Its first column.
            votes: See `votes_by_scores` and `votes_by_depth`.
            labels: (h, w) int32, `UNSET` where ignored.
            where: The file, for errors.

        Raises:
            DataError: The labels contradict those of another window.
        """
        height, width = labels.shape
        self.extend((row, row + height, col, col + width))
        for top in range(row // BLOCK_PX, (row + height - 1) // BLOCK_PX + 1):
            for left in range(col // BLOCK_PX, (col + width - 1) // BLOCK_PX + 1):
                mine_rows, rows = _overlap(row, height, top)
                mine_cols, cols = _overlap(col, width, left)
                all_votes, all_labels = self.block((top, left))
                here, known = labels[mine_rows, mine_cols], all_labels[rows, cols]
                differ = (known != here) & (known >= 0) & (here >= 0)
                if differ.any():
                    y, x = np.unravel_index(int(differ.argmax()), differ.shape)
                    raise DataError(
                        f"label {here[y, x]} at (row {mine_rows.start + y}, col "
                        f"{mine_cols.start + x}), but {known[y, x]} in another window of "
                        f"{PurePath(self.name).name}",
                        where=where,
                        fix="prepare the tiles again: one of them is not where its name says",
                    )
                np.maximum(known, here, out=known)
                view = all_votes[..., rows, cols]
                merge = np.add if self.by_scores else np.maximum
                merge(view, votes[..., mine_rows, mine_cols], out=view)
                if self.by_scores and (view < 0).any():
                    raise DataError(
                        "more than 511 windows overlap", where=where, fix="choose a larger stride"
                    )

    def extend(self, extent: tuple[int, int, int, int]) -> None:
        """Widen the extent."""
        old = self.extent or extent
        self.extent = (
            min(old[0], extent[0]),
            max(old[1], extent[1]),
            min(old[2], extent[2]),
            max(old[3], extent[3]),
        )

    def result(self, ignore_index: int) -> tuple[NDArray, NDArray]:
        """The decided map and the label of the extent, (H, W) ids each.

        Pixels that no window covers, or that all ignore, are ``ignore_index`` in the label.
        """
        small = self.num_classes <= 256 and 0 <= ignore_index <= 255
        dtype = np.uint8 if small else np.int32
        top, bottom, left, right = self.extent or (0, 0, 0, 0)
        prediction = np.zeros((bottom - top, right - left), dtype=dtype)
        label = np.full(prediction.shape, ignore_index, dtype=dtype)
        for (row, col), (votes, labels) in self.blocks.items():
            # the block as a window of the extent
            in_rows, rows = _overlap(top, bottom - top, row)
            in_cols, cols = _overlap(left, right - left, col)
            decided = votes.argmax(axis=0) if self.by_scores else _class_of(votes)
            prediction[in_rows, in_cols] = decided[rows, cols]
            known = labels[rows, cols]
            label[in_rows, in_cols] = np.where(known >= 0, known, ignore_index)
        return prediction, label


def _overlap(start: int, length: int, block: int) -> tuple[slice, slice]:
    """The part of a window in a block, along one axis: in the window, and in the block."""
    first, last = max(start, block * BLOCK_PX), min(start + length, (block + 1) * BLOCK_PX)
    return slice(first - start, last - start), slice(
        first - block * BLOCK_PX, last - block * BLOCK_PX
    )


def votes_by_scores(logits: NDArray[np.float32]) -> NDArray[np.int32]:
    """(C, h, w) logits -> their softmax in whole numbers of 2**-22, so that sums are exact.

    Raises:
        ValueError: A logit is NaN, or infinite.
    """
    if not np.isfinite(logits).all():
        raise ValueError("the model's scores must be finite, found NaN or infinity")
    scores = np.exp(logits.astype(np.float64) - logits.max(axis=0, keepdims=True))
    scores /= scores.sum(axis=0, keepdims=True)
    return np.rint(scores * _ONE).astype(np.int32)


def votes_by_depth(prediction: NDArray, row: int, col: int) -> NDArray[np.int64]:
    """(h, w) classes -> numbers whose maximum holds the class of the deepest window.

    Depth is the distance to the window's nearest side; of equally deep windows the uppermost,
    then the leftmost wins.

    Raises:
        ValueError: A number does not fit its bits.
    """
    limits = (("row", row, 2**20), ("col", col, 2**20), ("class", int(prediction.max()), 256))
    for name, value, limit in limits:
        if value >= limit:
            raise ValueError(f"{name} must be < {limit} to be stitched, got {value}")
    height, width = prediction.shape
    down, along = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (height, width))
    depth = np.minimum(down[:, None], along[None, :]).astype(np.int64)
    # 15 bits of depth, 20 of the row and of the column (negated), 8 of the class
    order = ((2**20 - 1 - row) << 20) | (2**20 - 1 - col)
    return (depth << 48) | (order << 8) | prediction.astype(np.int64)


def _class_of(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(votes >= 0, votes & 255, 0)


class SceneStitcher:
    """Takes the windows of scenes, one scene after the other; hands over each that is complete.

    A scene is complete when a window of another one comes: windows of a scene must come
    together, as files sorted by name do. Memory is that of one scene: with scores, 4 bytes a
    class and pixel; without, 8 bytes a pixel.

    Args:
        num_classes: Number of classes.
        ignore_index: The label that does not count.
        on_complete: Called with each complete scene.
    """

    def __init__(
        self, *, num_classes: int, ignore_index: int, on_complete: Callable[[Scene], None]
    ) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.on_complete = on_complete
        self.by_scores: bool | None = None
        self._current: Scene | None = None
        self._complete: set[str] = set()

    def add(
        self,
        window: SceneWindow,
        prediction: NDArray,
        label: NDArray,
        logits: NDArray[np.float32] | None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a window.

        Args:
            window: Where it lies.
            prediction: (h, w) class ids.
            label: (h, w) class ids, or ``ignore_index``.
            logits: (C, h, w) where the model gives one for each class: the scene's class is then
                that of the largest mean probability; else that of the deepest window.
            meta: What is worth keeping of the scene's first sample.

        Raises:
            DataError: Its scene was complete already, its label contradicts another window's,
                or some windows come with logits and some without.
        """
        meta = dict(meta or {})
        where = meta.get("where")
        by_scores = logits is not None
        if self.by_scores not in (None, by_scores):
            raise DataError(
                "some windows come with logits and some without",
                where=where,
                fix="evaluate them with one model",
            )
        self.by_scores = by_scores
        if self._current is None or self._current.name != window.scene:
            self.finish()
            if window.scene in self._complete:
                raise DataError(
                    f"windows of {Path(window.scene).name} come apart: another scene lies between",
                    where=where,
                    fix="list the windows scene by scene, with shuffle=False",
                )
            self._current = Scene(window.scene, self.num_classes, by_scores, meta)
        try:
            if logits is not None:
                votes = votes_by_scores(logits)
            else:
                votes = votes_by_depth(prediction, window.row, window.col)
        except ValueError as error:
            raise DataError(str(error), where=where, fix="leave stitch out") from error
        labels = np.where(label == self.ignore_index, UNSET, label).astype(np.int32)
        self._current.add(window.row, window.col, votes, labels, where)

    def finish(self) -> None:
        """Hand over the scene at hand, if there is one."""
        if self._current is not None:
            scene, self._current = self._current, None
            self._complete.add(scene.name)
            self.on_complete(scene)
