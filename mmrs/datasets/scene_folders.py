"""Pictures of scenes, a folder for each class: what features are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmrs.datasets.pictures import SUFFIXES, read_picture
from mmrs.datasets.raster_facts import check_kind
from mmrs.datasets.raster_scaling import default_cache_dir, make_scaling
from mmrs.errors import ConfigError, DataError
from mmrs.geo.scaling import BandScaling
from mmrs.geo.window_reader import WindowReader
from mmrs.registry import DATASETS


@DATASETS.register_module()
class SceneFoldersDataset(BaseDataset):
    """Whole pictures or rasters; the name of the folder that holds one is its class.

    They are read as the images of pre-training are (`mmrs.MillionAIDDataset`): bands in the order
    of the file, one band three times, a palette as its colours. MMPreTrain's ``CustomDataset`` has
    the same layout, but needs a loading step, which reads 8 bits and three bands in another order.

    Samples: ``img`` (H, W, bands), ``img_path``, ``gt_label``, ``sample_idx``. The pipeline holds
    no loading step; it brings pictures of several sizes to one, and ends with MMPreTrain's
    ``PackInputs``.

    Args:
        data_root: Its folders are the classes; theirs are searched too. Files beside them, and
            names that begin with a dot, do not count.
        classes: Names of the folders, in the order of the labels; others are left out. None: all,
            by name.
        bands: Which bands, counted from 1, and those as they are; all that are data by default.
        scaling: That of the training, as in `mmrs.RasterSegDataset`: a network that learned from
            scaled values tells nothing of others. With it bands are those of the file, and gaps 0.
        cache_dir: Likewise.
        pipeline: Steps after the reading.
        **kwargs: `mmengine.dataset.BaseDataset`: indices, serialize_data, lazy_init, ...

    Raises:
        ConfigError: No class is named, or the scaling cannot be followed.
        DataError: There is no such folder, or no picture in one.
    """

    METAINFO: dict = dict(classes=())

    def __init__(
        self,
        *,
        data_root: str,
        classes: Sequence[str] | None = None,
        bands: Sequence[int] | None = None,
        scaling: Mapping[str, Any] | None = None,
        cache_dir: str | None = None,
        pipeline: Sequence = (),
        **kwargs: Any,
    ) -> None:
        folder = Path(data_root)
        if classes is None:
            classes = sorted(_folders(folder))
        if not classes:
            raise ConfigError(
                "must name a folder at least",
                where="SceneFoldersDataset.classes",
                fix="leave it out for all folders",
            )
        if scaling is not None and not isinstance(scaling, Mapping):
            raise ConfigError(
                f"must be a dict, got {scaling!r}",
                where="SceneFoldersDataset.scaling",
                fix="write dict(...)",
            )
        self.reader = WindowReader(bands=bands, max_open=1)
        self.scaling_options = scaling
        self.scaling: BandScaling | None = None
        self._kind: dict[str, Any] = {}  # of the first picture, for which the scaling is
        self.cache_dir = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        super().__init__(
            data_root=data_root,
            data_prefix={},
            metainfo={"classes": tuple(classes)},
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The pictures, class after class."""
        found = []
        for label, name in enumerate(self.metainfo["classes"]):
            folder = Path(self.data_root) / name
            paths = [
                path
                for path in sorted(folder.rglob("*"))
                if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file()
            ]
            if not paths:
                raise DataError(
                    f"there is no picture of class {name!r} ({', '.join(SUFFIXES)})",
                    where=folder,
                    fix="put pictures there, or name the classes that have some (classes=)",
                )
            found += [{"img_path": str(path), "gt_label": label} for path in paths]
        if self.scaling_options is not None:
            first = self.reader.raster(found[0]["img_path"])
            self._kind = {"bands": first.bands, "dtype": first.dtype, "first": first.path}
            self.scaling = make_scaling(
                self.scaling_options,
                bands=first.bands,
                dtype=first.dtype,
                data_root=self.data_root,
                cache_dir=self.cache_dir,
                where="SceneFoldersDataset.scaling",
            )
            self.reader.close()
        return found

    def prepare_data(self, idx: int) -> Any:
        """A sample: read, then through the pipeline.

        Raises:
            DataError: The file is damaged, or has other bands than the first one, with a scaling.
        """
        info = self.get_data_info(idx)
        if self.scaling is None:
            pixels = read_picture(self.reader, info["img_path"])
        else:
            raster = self.reader.raster(info["img_path"])
            check_kind(raster, scaled=True, **self._kind)
            pixels, valid, _ = self.reader.read(info["img_path"], raster.full)
            pixels = self.scaling(pixels)
            pixels[~valid] = 0
        info.update(img=pixels, img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2])
        return self.pipeline(info)


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError("there is no such folder", where=root, fix="set data_root")
    names = [path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."]
    if not names:
        raise DataError(
            "there are no folders in it", where=root, fix="put the pictures of a class into one"
        )
    return names
