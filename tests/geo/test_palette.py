from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.palette import check_palette, colour_table, default_palette, paint


def test_paint_gives_each_label_its_colour_and_nodata_none() -> None:
    labels = np.array([[0, 1], [255, 1]], dtype=np.uint8)
    picture = paint(labels, [(9, 8, 7), (1, 2, 3)])
    assert picture.tolist() == [[[9, 8, 7], [1, 2, 3]], [[0, 0, 0], [1, 2, 3]]]


def test_the_colour_table_makes_nodata_transparent() -> None:
    assert colour_table([(9, 8, 7)]) == {0: (9, 8, 7, 255), 255: (0, 0, 0, 0)}


@pytest.mark.parametrize(
    ("palette", "num_classes", "message"),
    [
        ([(0, 0, 0)], 2, "palette has 1 colours for 2 classes"),
        ([(0, 0, 256)], 1, r"palette\[0\] must be three numbers from 0 to 255, got \[0, 0, 256\]"),
        ([(0, 0)], 1, r"palette\[0\] must be three numbers"),
        ([], 0, "the number of classes must be 1 to 255, got 0"),
        ([(0, 0, 0)] * 300, 256, "must be 1 to 255, got 256"),
    ],
)
def test_palettes_that_cannot_be_drawn_are_refused(palette, num_classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_palette(palette, num_classes)


def test_surplus_colours_are_left_out() -> None:
    assert check_palette([[1, 2, 3], [4, 5, 6]], 1) == [(1, 2, 3)]


def test_default_colours_are_pascals_and_all_differ() -> None:
    colours = default_palette(255)
    assert colours[:4] == [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert len(set(colours)) == 255
