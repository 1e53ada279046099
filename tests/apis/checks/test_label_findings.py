"""What only all labels of a data set together tell."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mmrs.apis.check_dataset import check_dataset
from mmrs.errors import LabelError
from mmrs.label_check import check_label_shape
from tests.apis.check_sets import png_set, two_classes


@pytest.mark.parametrize("says", [False, True])
def test_who_says_that_255_means_no_data_is_believed(tmp_path: Path, says: bool) -> None:
    made = png_set(tmp_path, np.random.default_rng(0), (0, 255))
    two_classes(made)
    if says:
        made.load.append({"type": "mmrs.MapLabels", "label_map": {255: 255}})
    found = [f for f in check_dataset(made.config()).findings if f.kind == "encoding"]
    assert bool(found) != says
    assert all("if they mean no data, say so by {255: 255}" in str(f.error) for f in found)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_colours_of_a_picture_are_counted_in_time(dtype: str) -> None:
    rng = np.random.default_rng(0)
    few = rng.integers(-300 if dtype == "int16" else 0, 250, (40, 3)).astype(dtype)
    picture = few[rng.integers(0, 40, (2048, 2048))]
    started = time.process_time()
    with pytest.raises(LabelError, match=r"\(3 channels, 40 colours\)"):
        check_label_shape(picture, where="a.png")
    # rows of three numbers took 4.2 s
    assert time.process_time() - started < 2.5
    with pytest.raises(LabelError, match=r"\(3 channels\)"):
        check_label_shape(picture.astype(np.float32), where="a.png")
