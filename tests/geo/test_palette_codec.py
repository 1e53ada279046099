from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.geo.palette_codec import PaletteCodec, count_colours

ISPRS = {
    0: [(0, 0, 0)],
    1: [(255, 255, 255)],
    2: [(0, 0, 255)],
    3: [(0, 255, 255)],
    4: [(0, 255, 0)],
    5: [(255, 255, 0)],
    6: [(255, 0, 0)],
}


@settings(max_examples=10, deadline=None)
@given(
    colours=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=2, max_size=20, unique=True),
    seed=st.integers(0, 99),
)
def test_ids_to_colours_and_back_is_exact(colours: list, seed: int) -> None:
    codec = PaletteCodec({index * 3: [colour] for index, colour in enumerate(colours)})
    labels = np.random.default_rng(seed).choice(list(codec.colours), (7, 9)).astype(np.uint8)
    decoded, unknown = codec.decode(codec.encode(labels))
    np.testing.assert_array_equal(decoded, labels)
    assert not unknown.any()


@pytest.mark.parametrize("tolerance", [0, 3, 40])
def test_a_loop_over_pixels_agrees(tolerance: int) -> None:
    rng = np.random.default_rng(0)
    rgb = np.concatenate(
        [
            np.array([c for several in ISPRS.values() for c in several], dtype=int)[
                rng.integers(0, 7, 300)
            ]
            + rng.integers(-5, 6, (300, 3)),
            rng.integers(0, 256, (300, 3)),
        ]
    )
    rgb = np.clip(rgb, 0, 255).astype(np.uint8)
    codec = PaletteCodec(ISPRS, unknown_id=99, tolerance=tolerance)
    labels, unknown = codec.decode(rgb)
    for pixel, label, strange in zip(rgb.tolist(), labels, unknown, strict=True):
        near = [
            key
            for key, (colour,) in ISPRS.items()
            if max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) <= tolerance
        ]
        assert len(near) <= 1
        assert label == (near[0] if near else 99)
        assert strange == (not near)


def test_colours_that_share_a_weighted_sum_do_not_collide() -> None:
    # 2 r + 3 g + 4 b, a hash of other converters, is 1020 for the class and for the stranger
    labels, unknown = PaletteCodec(ISPRS).decode(np.array([[0, 0, 255], [0, 188, 114]], np.uint8))
    assert 3 * 188 + 4 * 114 == 4 * 255
    assert labels.tolist() == [2, 255]
    assert unknown.tolist() == [False, True]


def test_a_class_may_have_several_colours_and_is_painted_in_the_first() -> None:
    codec = PaletteCodec({0: [(1, 2, 3), (9, 9, 9)], 1: [(4, 5, 6)]})
    labels, _ = codec.decode(np.array([[9, 9, 9], [1, 2, 3], [4, 5, 6]], np.uint8))
    assert labels.tolist() == [0, 0, 1]
    assert codec.encode(np.array([[0]], np.uint8)).tolist() == [[[1, 2, 3]]]


def test_the_largest_tolerance_is_the_last_that_tells_classes_apart() -> None:
    colours = {0: [(0, 0, 0)], 1: [(10, 3, 0)], 2: [(100, 0, 0)]}
    assert PaletteCodec(colours).max_tolerance == 4
    PaletteCodec(colours, tolerance=4)
    with pytest.raises(ValueError, match="tolerance must be <= 4 to tell ids 0 and 1 apart, got 5"):
        PaletteCodec(colours, tolerance=5)


def test_needed_tolerance_is_the_one_from_which_a_colour_belongs() -> None:
    codec = PaletteCodec(ISPRS)
    assert codec.needed_tolerance((252, 255, 7)) == 7
    for tolerance, known in ((6, False), (7, True)):
        _, unknown = PaletteCodec(ISPRS, tolerance=tolerance).decode(
            np.array([[252, 255, 7]], np.uint8)
        )
        assert unknown[0] != known


@pytest.mark.parametrize(
    ("colours", "options", "told"),
    [
        ({}, {}, "at least one id"),
        ({0: [(0, 0, 0)], 1: [(0, 0, 0)]}, {}, "ids 0 and 1 have the same colour"),
        ({0: [(0, 0, 256)]}, {}, "three numbers from 0 to 255"),
        ({0: [(0, 0)]}, {}, "three numbers"),
        ({255: [(0, 0, 0)]}, {}, "ids must be 0 to 254, got 255"),
        ({0: []}, {}, "id 0 has no colour"),
        ({0: [(0, 0, 0)]}, {"tolerance": 128}, "tolerance must be 0 to 127"),
        ({0: [(0, 0, 0)]}, {"unknown_id": 256}, "unknown_id must be 0 to 255"),
    ],
)
def test_wrong_tables_are_told(colours: dict, options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PaletteCodec(colours, **options)


def test_an_id_without_a_colour_is_told() -> None:
    with pytest.raises(ValueError, match=r"ids without a colour: \[7\]"):
        PaletteCodec(ISPRS).encode(np.array([[7]], np.uint8))


def test_colours_are_counted_where_asked() -> None:
    rgb = np.array([[[1, 2, 3], [1, 2, 3]], [[255, 255, 255], [0, 0, 0]]], np.uint8)
    assert count_colours(rgb) == {(1, 2, 3): 2, (255, 255, 255): 1, (0, 0, 0): 1}
    where = np.array([[True, False], [False, True]])
    assert count_colours(rgb, where) == {(1, 2, 3): 1, (0, 0, 0): 1}
