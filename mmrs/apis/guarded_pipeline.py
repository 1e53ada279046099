"""A data set's pipeline that names the file when something in it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.dataset import Compose

from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.errors import DataError, MmrsError
from mmrs.geo.claimed_size import refuse_impossible_size
from mmrs.geo.raster import Raster


class GuardedPipeline(Compose):
    """The same transforms, with the sample checked before it is packed and files named.

    In a DataLoader's worker MMSegmentation's transforms fail with ``NoneType has no attribute
    shape`` or an assert, and an id out of range goes on to crash the GPU.

    Args:
        transforms: The callables of the pipeline that is guarded.
        check: What every sample must pass; None checks nothing.
        first_image: How many images the data sets before this one have. Each counts its own from
            0, and images of several must not have one number.
    """

    def __init__(
        self, transforms: Sequence[Callable], *, check: CheckSample | None, first_image: int = 0
    ) -> None:
        super().__init__(list(transforms))
        self.check = check
        self.first_image = first_image

    def __call__(self, data: dict) -> dict | None:
        """Run the pipeline.

        Raises:
            DataError: The image, the label or a transform of them failed.
        """
        self._number(data)
        fresh = _copy_info(data)
        for path in (data.get("img_path"), data.get("seg_map_path")):
            if path is not None:
                refuse_impossible_size(path)
        checked = False
        for transform in self.transforms:
            try:
                if not checked and type(transform).__name__.startswith("Pack"):
                    self._check(data)
                    checked = True
                data = transform(data)
            except MmrsError as error:
                self._look_into_files(fresh)
                raise error
            except Exception as error:
                self._look_into_files(fresh)
                raise _failure(transform, error, fresh) from error
            if data is None:
                return None
        return data

    def _number(self, data: Any) -> None:
        if self.first_image and isinstance(data, dict):
            own = data.get("image_id", data.get("sample_idx"))
            if own is not None:
                data["image_id"] = self.first_image + int(own)

    def _check(self, data: Any) -> None:
        if self.check is not None and isinstance(data, dict):
            self.check(data)

    def _look_into_files(self, info: dict) -> None:
        """Check the sample as its files have it, before anything cropped or scaled it.

        What this raises names the pixel in the file; where it raises nothing, the files are
        right and a transform is not.
        """
        data: Any = info
        for transform in self.transforms:
            try:
                data = transform(data)
            except MmrsError:
                raise
            except Exception as error:
                raise _failure(transform, error, info) from error
            if not isinstance(data, dict) or type(transform).__name__.startswith("Pack"):
                return
            if "gt_seg_map" in data and not self._maps_labels_later(transform):
                self._check(data)
                return

    def _maps_labels_later(self, transform: Callable) -> bool:
        later = self.transforms[self.transforms.index(transform) + 1 :]
        return any(getattr(other, "maps_labels", False) for other in later)


def guard_dataset(dataset: Any) -> int:
    """Guard the pipelines of a data set and of those that it wraps, in place.

    Returns:
        How many were guarded.
    """
    count = first_image = 0
    leaves = list(leaf_datasets(dataset))
    for leaf in leaves:
        pipeline = getattr(leaf, "pipeline", None)
        if isinstance(pipeline, Compose) and not isinstance(pipeline, GuardedPipeline):
            leaf.pipeline = GuardedPipeline(
                pipeline.transforms, check=check_of(leaf), first_image=first_image
            )
            count += 1
        if len(leaves) > 1:
            first_image += len(leaf)
    return count


def leaf_datasets(dataset: Any) -> Iterator[Any]:
    """Yield the data sets under wrappers such as ``ConcatDataset`` and ``RepeatDataset``."""
    inner = [
        child
        for name in ("dataset", "datasets", "_dataset")
        for child in _as_list(getattr(dataset, name, None))
    ]
    if not inner:
        yield dataset
    for child in inner:
        yield from leaf_datasets(child)


def check_of(dataset: Any) -> CheckSample | None:
    """Return what samples of a data set must pass, or None where it has no classes."""
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    if not classes:
        return None
    return CheckSample(num_classes=len(classes), ignore_index=getattr(dataset, "ignore_index", 255))


def _as_list(value: Any) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _copy_info(data: dict) -> dict:
    # transforms append to seg_fields in place
    return {key: list(v) if isinstance(v, list) else v for key, v in data.items()}


def _raster_kind(path: Any) -> str | None:
    """Return bands and type of a raster that is whole but not 8-bit grey or RGB; None otherwise."""
    try:
        with Raster(path) as raster:
            count, dtype = raster.dataset.count, raster.dtype
            plain = count in (1, 3, 4) and dtype == "uint8"
            return None if plain else f"{count} bands of {dtype}"
    except (DataError, TypeError):
        return None


def _failure(transform: Callable, error: Exception, info: dict) -> DataError:
    name = type(transform).__name__
    text = " ".join(str(error).split())[:200]
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    image, label = info.get("img_path"), info.get("seg_map_path")
    if isinstance(error, FileNotFoundError):
        missing = error.filename or (label if "Annotation" in name else image)
        return DataError("there is no such file", where=missing, fix="restore it, or leave it out")
    if name.startswith("LoadImage") or name.startswith("LoadSingle"):
        raster = _raster_kind(image)
        if raster is not None:
            return DataError(
                f"{name} cannot decode {raster}",
                where=image,
                fix="load it by dict(type='mmrs.LoadRaster'), or by another imdecode_backend",
            )
        return DataError(
            f"cannot be read as an image ({cause})",
            where=image,
            fix="replace it, or take it out of the data set",
        )
    if name.startswith("Load"):
        return DataError(
            f"cannot be read as a label ({cause})",
            where=label,
            fix="replace it, or take the pair out of the data set",
        )
    return DataError(
        f"{name} failed ({cause})",
        where=image,
        fix=f"mend the file, or {name} in the pipeline; --debug shows where",
    )
