"""What only all labels of a data set together tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrs.apis.check_dataset import check_dataset
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
