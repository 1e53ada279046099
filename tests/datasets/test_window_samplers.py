"""Which windows are looked at."""

import numpy as np
import pytest
import shapely

from mmrs.datasets.window_options import check_sampler
from mmrs.datasets.window_samplers import (
    BalancedWindows,
    GridWindows,
    RandomWindows,
)
from mmrs.errors import ConfigError, DataError
from mmrs.geo.frequency_index import build_frequency_index
from mmrs.geo.windows import Window

SHAPES = [(50, 70), (20, 90), (32, 32)]


def hits(sampler: GridWindows, *, own: bool) -> list[np.ndarray]:
    """How often each pixel is in a window, or in its own part."""
    counts = [np.zeros((shape[0] + 99, shape[1] + 99), int) for shape in SHAPES]
    for index in range(len(sampler)):
        scene, window = sampler[index]
        part = counts[scene][window.slices]
        assert part.shape == (window.height, window.width) == sampler.size
        part[sampler.own_part(index) if own else ...] += 1
    return [c[: s[0], : s[1]] for c, s in zip(counts, SHAPES, strict=True)]


@pytest.mark.parametrize("stride", [None, (32, 32), (20, 11)])
def test_a_grid_covers_every_pixel_and_can_count_each_once(stride):
    sampler = GridWindows(SHAPES, (32, 32), stride=stride, count_once=True)
    assert all((count >= 1).all() for count in hits(sampler, own=False))
    assert all((count == 1).all() for count in hits(sampler, own=True))
    plain = GridWindows(SHAPES, (32, 32), stride=stride)
    assert plain.own_part(0) == (slice(0, 32), slice(0, 32))
    # 50 x 70 takes 2 x 3 windows, 20 x 90 is one line of 3, 32 x 32 is one
    if stride is None:
        assert len(sampler) == len(plain) == 6 + 3 + 1


def test_windows_that_do_not_meet_the_area_are_left_out():
    areas = [shapely.box(0, 0, 32, 32), shapely.box(40, 5, 41, 6), shapely.box(5, 5, 5, 5)]
    sampler = GridWindows(SHAPES, (32, 32), areas=areas)
    windows = [sampler[i] for i in range(len(sampler))]
    # the first touches its neighbours with an edge only; but the last row is flush at 18
    assert windows == [
        (0, Window(0, 0, 32, 32)),
        (0, Window(18, 0, 32, 32)),
        (1, Window(0, 32, 32, 32)),
    ]


def test_random_windows_lie_inside_and_fall_on_rasters_by_their_pixels():
    sampler = RandomWindows(SHAPES, (16, 24), length=3000)
    drawn = [sampler[i] for i in range(len(sampler))]
    assert len(sampler) == 3000
    for scene, window in drawn:
        assert window.row + 16 <= SHAPES[scene][0] and window.col + 24 <= SHAPES[scene][1]
    pixels = np.array([h * w for h, w in SHAPES])
    share = np.bincount([scene for scene, _ in drawn], minlength=3) / len(drawn)
    np.testing.assert_allclose(share, pixels / pixels.sum(), atol=3 * 0.5 / np.sqrt(3000))
    starts = {window.row for scene, window in drawn if scene == 0}
    assert starts == set(range(50 - 16 + 1))


def test_an_epoch_covers_the_pixels_once_unless_a_length_is_given():
    pixels = sum(h * w for h, w in SHAPES)
    assert len(RandomWindows(SHAPES, (16, 16))) == round(pixels / 256)
    areas = [shapely.box(0, 0, 32, 32)] * 3
    assert len(RandomWindows(SHAPES, (16, 16), areas=areas)) == 12


def test_a_raster_smaller_than_the_window_begins_at_its_corner():
    for sampler in (RandomWindows([(5, 6)], (16, 16)), GridWindows([(5, 6)], (16, 16))):
        assert sampler[0] == (0, Window(0, 0, 16, 16))


def test_a_seed_gives_the_same_windows_and_none_new_ones():
    fixed, free = (RandomWindows(SHAPES, (8, 8), seed=seed) for seed in (3, None))
    assert [fixed[i] for i in range(9)] == [fixed[i] for i in range(9)]
    assert [fixed[i] for i in range(9)] != [
        RandomWindows(SHAPES, (8, 8), seed=4)[i] for i in range(9)
    ]
    np.random.seed(0)
    first = [free[0] for _ in range(9)]
    assert len(set(first)) > 5
    np.random.seed(0)
    assert [free[0] for _ in range(9)] == first


def test_random_windows_of_an_area_have_their_middle_in_it():
    area = shapely.Polygon([(20, 5), (60, 20), (30, 45)])
    sampler = RandomWindows([(50, 70)], (4, 4), length=200, areas=[area])
    for index in range(200):
        _, window = sampler[index]
        assert area.buffer(1).contains(shapely.Point(window.col + 2, window.row + 2))


def test_balanced_windows_show_a_rare_class_as_often_as_the_others():
    labels = np.zeros((64, 256), dtype=np.uint8)
    labels[30:34, 200:204] = 1
    grid = GridWindows([labels.shape], (16, 16), count_once=True)
    samples = ((s, w, labels[w.slices]) for s, w in (grid[i] for i in range(len(grid))))
    index = build_frequency_index(samples, 2)
    sampler = BalancedWindows([labels.shape], (16, 16), index, length=800)
    drawn = [sampler[i][1] for i in range(len(sampler))]
    assert all(w.row + 16 <= 64 and w.col + 16 <= 256 for w in drawn)
    shown = np.mean([labels[w.slices].any() for w in drawn])
    uniform = RandomWindows([labels.shape], (16, 16), length=800)
    by_chance = np.mean([labels[uniform[i][1].slices].any() for i in range(800)])
    # half of the draws choose a window with the class; after the shift most still hold it
    assert shown > 0.3 and by_chance < 0.05
    assert len(BalancedWindows([labels.shape], (16, 16), index)) == len(grid)


def test_nothing_labelled_cannot_be_balanced():
    index = build_frequency_index([(0, Window(0, 0, 4, 4), np.full((4, 4), 255))], 2)
    with pytest.raises(DataError, match="no labelled pixel at all"):
        BalancedWindows([(4, 4)], (4, 4), index)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "gird", "size": 4}, "type 'gird' is unknown. Fix: choose from grid, random"),
        ({"type": "grid"}, "no size"),
        ({"type": "grid", "size": 0}, "size must be a whole number from 1 on, got 0"),
        ({"type": "grid", "size": 2.5}, "got 2.5"),
        ({"type": "grid", "size": 8, "stride": 9}, "stride .9, 9. is more than size"),
        ({"type": "random", "size": 8, "stride": 4}, "the random sampler takes no 'stride'"),
        ({"type": "random", "size": 8, "length": -1}, "length must be a whole number"),
        ({"type": "random", "size": 8, "length": (3, 4)}, r"length must be .* got \(3, 4\)"),
        ({"type": "random", "size": 8, "seed": -1}, "seed must be a whole number from 0 on"),
        ({"type": "balanced", "size": True}, "size must be a whole number"),
    ],
)
def test_wrong_options_are_told_with_their_key(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_sampler(options, "D.window_sampler")
    assert str(caught.value).startswith("D.window_sampler")
