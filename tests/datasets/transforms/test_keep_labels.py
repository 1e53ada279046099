import numpy as np
from mmseg.registry import TRANSFORMS

import mmrs.datasets.transforms  # noqa: F401 - registers


def test_a_flip_after_it_turns_the_image_alone():
    image = np.arange(24, dtype=np.float32).reshape(4, 6, 1)
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    data = {"img": image, "img_shape": (4, 6), "gt_seg_map": labels, "seg_fields": ["gt_seg_map"]}
    for step in ({"type": "mmrs.KeepLabels"}, {"type": "RandomFlip", "prob": 1.0}):
        data = TRANSFORMS.build(step)(data)
    np.testing.assert_array_equal(data["img"], image[:, ::-1])
    np.testing.assert_array_equal(data["gt_seg_map"], labels)
