"""The channel contract of a run: config and data agree, and both agree with the checkpoint."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import print_log
from PIL import Image
from rasterio.enums import ColorInterp

from mmrs.apis.channels.channel_config import loader_contract, read_contract, type_name
from mmrs.apis.channels.channel_contract import (
    ChannelContract,
    check_same_bands,
    check_same_channels,
    differences,
    gsd_warning,
    name_warning,
)
from mmrs.apis.channels.channel_files import contract_of_dataset, contract_of_raster, open_image
from mmrs.apis.guarded_pipeline import leaf_datasets
from mmrs.errors import ConfigError, DataError, LabelError
from mmrs.geo.raster import gdal_errors

_WIDE_MODES = ("I", "F")  # Pillow's, of more than 8 bits: also I;16, I;16B
FIX = "use the config that it was trained with, on data of the same bands"


def run_contract(
    cfg: Config, split: Literal["train", "test"], dataset: Any
) -> ChannelContract | None:
    """What a run reads, by its config and its data.

    Args:
        cfg: The config.
        split: Which data loader.
        dataset: What that was built into.

    Returns:
        None where the config loads in a way whose bands cannot be told; the log says so.

    Raises:
        DataError: The images hold other bands, or another type, than the config says.
    """
    try:
        stated = read_contract(cfg, split)
    except ConfigError as error:
        print_log(f"no channel contract: {error}", "current")
        return None
    for leaf in leaf_datasets(dataset):
        if hasattr(leaf, "get_data_info"):
            found = contract_of_dataset(leaf, stated)
            stated = stated if found is None else stated.filled_by(found)
    return stated


def check_checkpoint(
    trained: ChannelContract | None, now: ChannelContract | None, *, where: str, refuse: bool
) -> None:
    """Compare what a checkpoint was trained on with what a run reads.

    Args:
        trained: The checkpoint's; None where it does not say.
        now: The run's.
        where: The checkpoint.
        refuse: Raise on a difference; otherwise, for fine-tuning, log it.

    Raises:
        CheckpointError: Both sides in one line.
    """
    if trained is None or now is None:
        return
    if refuse:
        check_same_channels(trained, now, where=where, fix=FIX)
    else:
        for then, here in differences(trained, now):
            print_log(f"{where}: trained on {then}; this run has {here}", "current")
    for told in (gsd_warning(trained, now), name_warning(trained, now)):
        if told is not None:
            print_log(f"{where}: {told}", "current", logging.WARNING)


def source_bands(
    now: ChannelContract | None, trained: ChannelContract | None = None
) -> list[int | None] | None:
    """Which filter of a first convolution each band of a run knows, by the bands' names.

    Args:
        now: The run's contract.
        trained: Of the weights; None: red, green and blue, as pretrained weights have them.

    Returns:
        As in :func:`~mmrs.ops.inflate.inflate_first_conv`; None where names do not tell.
    """
    if now is None or not now.band_names:
        return None
    names = [name.lower() for name in now.network_names]
    known = ["red", "green", "blue"]
    if trained is not None and trained.bands != 3:
        known = [name.lower() for name in trained.network_names]
    if len(set(names)) < len(names) or not set(known) & set(names):
        return None
    return [known.index(name) if name in known else None for name in names]


class FileWatch:
    """The first step of a pipeline: files whose bytes a loading step would change in silence.

    OpenCV makes three bands of 8 bits of whatever it meets, and MMSegmentation cuts labels to a
    byte. Each file is looked at once in a process, by its header.

    Args:
        expected: What the loading step takes without changing it; None: anything.
        labels: Whether labels are cut to a byte.
    """

    def __init__(self, *, expected: ChannelContract | None, labels: bool) -> None:
        self.expected = expected
        self.labels = labels
        self._seen: set[str] = set()

    def __call__(self, results: dict) -> dict:
        """Look at the files of a sample.

        Raises:
            DataError: The image has other bands, or another type.
            LabelError: The label holds ids that do not fit a byte.
        """
        image, label = results.get("img_path"), results.get("seg_map_path")
        if self.expected is not None and self._is_new(image):
            check_image_file(image, self.expected)
        if self.labels and self._is_new(label):
            check_label_file(label)
        return results

    def _is_new(self, path: Any) -> bool:
        if not isinstance(path, str) or path in self._seen or not os.path.isfile(path):
            return False
        self._seen.add(path)
        return True


def watch_files(dataset: Any) -> int:
    """Put a `FileWatch` before the pipelines of a data set that load in such ways, in place.

    Returns:
        Into how many.
    """
    count = 0
    for leaf in leaf_datasets(dataset):
        pipeline = getattr(leaf, "pipeline", None)
        if not isinstance(pipeline, Compose) or not pipeline.transforms:
            continue
        if isinstance(pipeline.transforms[0], FileWatch):
            continue
        expected = loader_contract(pipeline.transforms[0])
        labels = any(
            type_name(step) == "LoadAnnotations" and not getattr(step, "keeps_wide_ids", False)
            for step in pipeline.transforms
        )
        if expected is not None or labels:
            pipeline.transforms.insert(0, FileWatch(expected=expected, labels=labels))
            count += 1
    return count


def check_image_file(path: str, expected: ChannelContract) -> None:
    """Refuse an image that a loading step would cast, by its header.

    Raises:
        DataError: With what was found and what is expected.
    """
    try:
        with (
            open_image(path, expected) as raster,
            gdal_errors(raster.path, "its header cannot be read"),
        ):
            if expected.bands == 3 and ColorInterp.palette in raster.dataset.colorinterp:
                return  # the loading step gives the colours that it shows
            found = contract_of_raster(raster)
    except DataError:
        return  # not GDAL's, or damaged: the loading step tells whether it is readable
    check_same_bands(
        expected,
        found,
        where=path,
        fix="load it by dict(type='mmrs.LoadRaster') with one mean and std a band, or convert "
        "the image (gdal_translate -b, -ot, -scale)",
    )


def check_label_file(path: str) -> None:
    """Refuse a label whose ids do not fit a byte, which is what MMSegmentation makes of them.

    Raises:
        LabelError: With the value and its pixel.
    """
    try:
        with Image.open(path) as picture:
            if not picture.mode.startswith(_WIDE_MODES):
                return
            ids = np.asarray(picture)
    except Exception:  # Pillow's decoders raise what they like: the loading step tells
        return
    wrong = ~((ids >= 0) & (ids <= 255) & (ids == np.round(ids)))
    if wrong.any():
        row, col = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise LabelError(
            f"value {ids[row, col]:g} at (row {row}, col {col}) does not fit the byte to which "
            "LoadAnnotations cuts it",
            where=path,
            fix="load it by dict(type='mmrs.LoadAnnotations', label_map={...}), which keeps 16 "
            "bits until they are mapped",
        )


def contract_in(checkpoint: Mapping, *, where: str) -> ChannelContract | None:
    """The contract that a loaded checkpoint holds.

    Raises:
        CheckpointError: It is damaged.
    """
    meta = checkpoint.get("meta")
    return ChannelContract.from_meta(meta, where=where) if isinstance(meta, Mapping) else None
