"""Labels as they are while the image is augmented: for testing."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from mmrs.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeepLabels(BaseTransform):
    """From here on, resizing and flipping leave the labels alone.

    Put it before ``TestTimeAug`` where a data set has loaded the labels already
    (`mmrs.RasterSegDataset`): predictions are brought back before they are judged.
    """

    def transform(self, results: dict) -> dict:
        """Empty ``results['seg_fields']``; the labels stay."""
        results["seg_fields"] = []
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
