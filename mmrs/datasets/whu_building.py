"""WHU Building: the aerial image set, cut into tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mmcv.transforms import LoadAnnotations
from mmseg.datasets import BaseSegDataset

from mmrs.errors import ConfigError
from mmrs.registry import DATASETS


@DATASETS.register_module()
class WHUBuildingDataset(BaseSegDataset):
    """WHU Building, aerial: 8188 tiles of 512 x 512 px at 0.3 m, of Christchurch, New Zealand.

    4736 tiles train, 1036 validate and 2416 test, as distributed.

    Label files: 0 background, 255 building. 255 is what MMSegmentation ignores, so the pipeline
    needs ``dict(type='mmrs.MapLabels', label_map={255: 1})`` after ``LoadAnnotations``; files
    that hold 0 and 1 pass it unchanged.

    Layout: ``{train,val,test}/{image,label}/*.tif``; ``data_prefix`` names the two folders.

    Args:
        img_suffix: Ending of image names.
        seg_map_suffix: Ending of label names.
        **kwargs: `mmseg.datasets.BaseSegDataset`: data_root, data_prefix, pipeline, ...

    Raises:
        ConfigError: The pipeline loads labels, and nothing in it maps them.

    Source: Ji, Wei, Lu (2019), http://gpcv.whu.edu.cn/data/building_dataset.html
    """

    METAINFO = {
        "classes": ("background", "building"),
        "palette": [[0, 0, 0], [255, 255, 255]],
    }

    def __init__(self, *, img_suffix: str = ".tif", seg_map_suffix: str = ".tif", **kwargs) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, reduce_zero_label=False, **kwargs
        )
        steps = list(_single_steps(self.pipeline.transforms))
        loads = any(isinstance(step, LoadAnnotations) for step in steps)
        if loads and not any(getattr(step, "maps_labels", False) for step in steps):
            raise ConfigError(
                "255 is building in the label files, and ignored unless a step maps it",
                where="WHUBuildingDataset.pipeline",
                fix="put dict(type='mmrs.MapLabels', label_map={255: 1}) after LoadAnnotations",
            )


def _single_steps(steps: Iterable[Any]) -> Iterator[Any]:
    """Steps, those inside test-time augmentation and random choices included."""
    for step in steps:
        inner = [*getattr(step, "transforms", []), *getattr(step, "subroutines", [])]
        if inner:
            yield from _single_steps(inner)
        else:
            yield step
