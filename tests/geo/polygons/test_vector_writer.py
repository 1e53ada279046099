from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrs.errors import OutputError
from mmrs.geo.polygons.vector_writer import Checksum, column_array, layer_name

TARGET = Path("map.gpkg")


def checksum(pieces, areas=(1.0, 2.0, 3.0), names=("a", "b", "c")) -> Checksum:
    found, first = Checksum(), 0
    for count in pieces:
        part = slice(first, first + count)
        wkb = [bytes([i]) * 5 for i in range(first, first + count)]
        columns = {"area": np.array(areas[part]), "class": np.array(names[part], dtype=object)}
        found.add(wkb, columns)
        first += count
    return found


def test_pieces_do_not_change_a_checksum() -> None:
    checksum([3]).compare(checksum([1, 2]), TARGET)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (checksum([2]), "reads back with 2 of 3 polygons"),
        (checksum([3], areas=(1.0, 2.5, 3.0)), "other values of area"),
        (checksum([3], names=("a", "bc", "")), "other values of class"),
    ],
)
def test_what_differs_is_told(other: Checksum, message: str) -> None:
    with pytest.raises(OutputError, match=rf"map\.gpkg: reads back with .*{message[-14:]}"):
        checksum([3]).compare(other, TARGET)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("é map.gpkg", "é map"),
        ("gpkg_x.gpkg", "map_gpkg_x"),
        ("SQLite_1.gpkg", "map_SQLite_1"),
        ("(1).gpkg", "map_(1)"),
    ],
)
def test_layers_are_called_after_the_file_but_for_reserved_names(name: str, layer: str) -> None:
    assert layer_name(Path(name)) == layer


def test_what_is_missing_in_a_file_was_not_a_number() -> None:
    found = column_array([0.5, None], np.float64)
    assert found[0] == 0.5 and np.isnan(found[1])
