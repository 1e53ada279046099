"""Labels of rasters that are read by windows: the same facts as of label files read whole."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from mmrs.apis.checks.findings import Finding
from mmrs.apis.checks.label_reader import LabelFacts
from mmrs.apis.checks.label_table import count_ids
from mmrs.datasets.label_options import is_vector
from mmrs.errors import LabelError, MmrsError
from mmrs.geo.checksums import verify_checksums
from mmrs.geo.window_reader import WindowReader
from mmrs.geo.windows import Window

WINDOW_PX = 512
_QUICK_WINDOWS = 4  # of each raster, in the look before training
_KEPT_PARTS = 64


class RasterLabelReader:
    """Reads the labels of `mmrs.RasterSegDataset`; as `LabelReader`, but window by window.

    Args:
        dataset: The data set.
    """

    colored = False
    foreign = False

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.num_classes = len(dataset.metainfo["classes"])
        self.palette = [tuple(color) for color in (dataset.metainfo.get("palette") or [])]
        self.ignore_index = int(dataset.ignore_index)
        self.reduce_zero_label = bool(dataset.reduce_zero_label)
        self.steps = [dataset.label_reader] if dataset.labels is not None else []

    def read(self, info: dict, *, whole: bool = True) -> LabelFacts:
        """Read the labels of one raster, or of one window, where the sample names it.

        Args:
            info: Of a raster; ``window`` limits it to one.
            whole: Read all windows; else a few that are even over the raster.
        """
        facts = LabelFacts()
        ids: set[int] = set()
        reader = WindowReader(bands=self.dataset.reader.bands, max_open=2)
        # handles and polygons of its own: the data set's belong to one thread
        labels = copy.copy(self.dataset.label_reader)
        labels.reader, labels._polygons = reader, OrderedDict()
        image, path = Path(info["img_path"]), Path(info["seg_map_path"])
        try:
            if whole and not is_vector(path):
                verify_checksums(path)
            for window in self._windows(info, whole):
                raw, read = labels.read(path, image, window)
                counts = count_ids(raw, read)
                facts.counts.update(counts)
                ids |= {value for value, _ in counts if value is not None}
                self._keep(facts, window, counts)
                if "window" in info:
                    facts.labels = read
        except LabelError as error:
            facts.findings.append(Finding("range", "error", error))
        except MmrsError as error:
            facts.findings.append(Finding("unreadable", "error", error))
        finally:
            reader.close()
        facts.ids = frozenset(ids)
        return facts

    def _keep(self, facts: LabelFacts, window: Window, counts: Any) -> None:
        """Remember the windows with most classes, for the contact sheet."""
        facts.parts.append((window, counts))
        if len(facts.parts) > 2 * _KEPT_PARTS:
            facts.parts.sort(key=lambda part: -len(part[1]))
            del facts.parts[_KEPT_PARTS:]

    def _windows(self, info: dict, whole: bool) -> Iterator[Window]:
        if "window" in info:
            yield Window(*info["window"])
            return
        height, width = info["raster_shape"]
        top, left, bottom, right = 0, 0, height, width
        areas = self.dataset.areas
        if areas is not None:
            if areas[info["sample_idx"]].is_empty:
                return
            x0, y0, x1, y1 = areas[info["sample_idx"]].bounds
            top, left, bottom, right = int(y0), int(x0), int(np.ceil(y1)), int(np.ceil(x1))
        windows = [
            Window(row, col, min(WINDOW_PX, bottom - row), min(WINDOW_PX, right - col))
            for row in range(top, bottom, WINDOW_PX)
            for col in range(left, right, WINDOW_PX)
        ]
        if not whole and len(windows) > _QUICK_WINDOWS:
            places = np.linspace(0, len(windows) - 1, _QUICK_WINDOWS).astype(int)
            windows = [windows[place] for place in places]
        yield from windows


def is_windowed(dataset: Any) -> bool:
    """Whether a data set reads windows of rasters by itself."""
    return hasattr(dataset, "load_sample") and hasattr(dataset, "num_rasters")


def rasters_of(dataset: Any) -> Iterator[dict]:
    """What a windowed data set knows of each raster, pairs of files once."""
    for index in range(dataset.num_rasters):
        info = dict(BaseDataset.get_data_info(dataset, index))
        yield {**info, "sample_idx": index}
