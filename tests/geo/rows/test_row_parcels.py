"""Rows arrive as they were sent, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from mmrs.geo.rows.row_parcels import pack_rows, unpack_rows


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_rows_arrive_as_they_were_sent(dtype: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "labels": rng.integers(0, 256, (3, 7), dtype=np.uint8),
        "confidence": rng.integers(0, 200, (3, 7)).astype(dtype),
        "probabilities": np.full((4, 3, 7), np.nan, dtype=dtype)
        if dtype == "float32"
        else rng.integers(0, 200, (4, 3, 7)).astype(dtype),
    }
    first, found = unpack_rows(pack_rows(2**40, arrays))
    assert first == 2**40
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_a_strided_view_is_sent_as_it_looks() -> None:
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)[::2, 1:5]
    np.testing.assert_array_equal(
        unpack_rows(pack_rows(0, {"labels": labels}))[1]["labels"], labels
    )


def test_damage_on_the_way_is_noticed() -> None:
    labels = np.random.default_rng(0).integers(0, 9, (5, 50), dtype=np.uint8)
    parcel = pack_rows(0, {"labels": labels})
    begin = parcel.index(b"}}") if b"}}" in parcel else parcel.index(b"}") + 1
    for place in range(begin + 4, len(parcel), 7):
        damaged = bytearray(parcel)
        damaged[place] ^= 0x10
        with pytest.raises(ValueError, match="rows were damaged on their way"):
            unpack_rows(bytes(damaged))
    with pytest.raises(ValueError, match="damaged"):
        unpack_rows(parcel[:-3])
