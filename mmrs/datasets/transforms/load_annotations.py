"""Label maps as they are stored, whatever their width, until they are class ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations as MMSegLoadAnnotations
from numpy.typing import NDArray

from mmrs.errors import ConfigError, LabelError
from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadAnnotations(MMSegLoadAnnotations):
    """Load label ids of 8, 16 or 32 bits, and map them to class ids; nothing is cut to a byte.

    MMSegmentation's class makes bytes of whatever a file holds, so id 256 becomes 0 and id 300
    becomes 44. Here ids are mapped as they are stored (land-cover codes such as 111 or 523), and
    one that does not fit a byte after that is an error with its pixel. What follows (the data
    set's ``reduce_zero_label``, its own ``label_map``) is MMSegmentation's.

    Args:
        label_map: Id in the file -> class id or 255, all at once; ids that are not named stay.
        **kwargs: `mmseg.datasets.transforms.LoadAnnotations`: backend_args, imdecode_backend.

    Raises:
        ConfigError: An id is no whole number, or a class id is not 0 to 255.
        LabelError: A value is no whole number, or does not fit a byte once it is mapped.
    """

    keeps_wide_ids = True  # the checks before a run need not refuse what a byte cannot hold

    def __init__(self, *, label_map: Mapping[int, int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_map: dict[int, int] = {}
        for old, new in (label_map or {}).items():
            try:
                first, second = int(str(old)), int(str(new))
            except ValueError:
                first = second = -1
            if not 0 <= second <= 255:
                raise ConfigError(
                    f"{old!r} -> {new!r} maps no whole number to one from 0 to 255",
                    where="LoadAnnotations.label_map",
                    fix="map ids as they are in the files, such as {111: 0, 523: 1}",
                )
            self.label_map[first] = second

    def _load_seg_map(self, results: dict) -> None:
        path = results["seg_map_path"]
        content = fileio.get(path, backend_args=self.backend_args)
        stored = mmcv.imfrombytes(content, flag="unchanged", backend=self.imdecode_backend)
        if stored is None:
            raise LabelError("cannot be decoded", where=path, fix="replace it")
        stored = np.asarray(stored)
        # not squeeze(): a map of one row has an axis of one too
        ids = self._map(stored[..., 0] if stored.shape[2:] == (1,) else stored, path)
        self._finish(results, ids)

    def _map(self, stored: NDArray[Any], path: str) -> NDArray[np.uint8]:
        """(H, W) of any type -> bytes; a colour picture of bytes passes as it is."""
        if stored.dtype == bool:
            stored = stored.astype(np.uint8)
        if stored.ndim != 2:
            return stored.astype(np.uint8) if stored.dtype != np.uint8 else stored
        if stored.dtype.kind == "f":
            _refuse(~(np.isfinite(stored) & (stored == np.round(stored))), stored, path)
            stored = stored.astype(np.int64)
        mapped = stored.astype(np.int64)
        for old, new in self.label_map.items():
            mapped[stored == old] = new
        _refuse((mapped < 0) | (mapped > 255), stored, path)
        return mapped.astype(np.uint8)

    def _finish(self, results: dict, ids: NDArray[np.uint8]) -> None:
        """Do as MMSegmentation does with what it has read."""
        if self.reduce_zero_label is None:
            self.reduce_zero_label = results["reduce_zero_label"]
        if self.reduce_zero_label != results["reduce_zero_label"]:
            raise ConfigError(
                f"the data set has reduce_zero_label={results['reduce_zero_label']}, "
                f"LoadAnnotations {self.reduce_zero_label}",
                where="LoadAnnotations.reduce_zero_label",
                fix="set it in the data set only",
            )
        if self.reduce_zero_label:
            ids = np.where((ids == 0) | (ids == 255), 255, ids - 1).astype(np.uint8)
        if results.get("label_map") is not None:
            before = ids.copy()
            for old, new in results["label_map"].items():
                ids[before == old] = new
        results["gt_seg_map"] = ids
        results["seg_fields"].append("gt_seg_map")

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, label_map={self.label_map})"


def _refuse(wrong: NDArray[np.bool_], stored: NDArray[Any], path: str) -> None:
    if not wrong.any():
        return
    row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
    value = stored[row, col]
    if stored.dtype.kind == "f" and not float(value).is_integer():
        raise LabelError(
            f"value {value:g} at (row {row}, col {col}) is no whole number",
            where=path,
            fix="save the labels as class ids",
        )
    raise LabelError(
        f"value {int(value)} at (row {row}, col {col}) is no class id: those are 0 to 255",
        where=path,
        fix=f"map it: dict(type='mmrs.LoadAnnotations', label_map={{{int(value)}: 255}})",
    )
