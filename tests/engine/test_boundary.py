"""Boundary bands and scores against loops over pairs of pixels, and by hand."""

import numpy as np
import pytest

from mmrs.engine.boundary import (
    boundary_band,
    boundary_counts,
    boundary_score,
    dilate_bits,
    halo_px,
)
from tests import oracles


def random_pair(num_classes, seed, *, size=(11, 14), ignore=255, ignored=0.15, dtype=np.int64):
    """Blobs of two or three pixels, so that there are interiors as well as boundaries."""
    rng = np.random.default_rng(seed)
    cells = [rng.integers(0, num_classes, (6, 7)) for _ in range(2)]
    pair = [np.kron(c, np.ones((2, 3), int))[: size[0], : size[1]].astype(dtype) for c in cells]
    agree = rng.random(pair[0].shape) < 0.6
    prediction, label = np.where(agree, pair[1], pair[0]), pair[1].copy()
    label[rng.random(label.shape) < ignored] = ignore
    return prediction, label


def counts_of(prediction, label, num_classes, width, **options):
    return boundary_counts(prediction, label, num_classes=num_classes, width_px=width, **options)


@pytest.mark.parametrize("width", [1, 1.5, 2, 3.2, 40])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_counts_equal_loops_over_pairs_of_pixels(num_classes, width):
    prediction, label = random_pair(num_classes, seed=num_classes)
    found = counts_of(prediction, label, num_classes, width)
    assert found.dtype == np.int64 and found.sum() > 0
    np.testing.assert_array_equal(
        found, oracles.boundary_counts(prediction, label, num_classes, width)
    )


@pytest.mark.parametrize("num_classes", [8, 9, 40, 70, 300])
def test_any_number_of_classes(num_classes):
    # 8, 16, 32, 64 bits, several rounds of 64, and ids beyond a byte
    prediction, label = random_pair(num_classes, seed=3, ignore=-1)
    label[0, :6], prediction[0, :6] = num_classes - 1, num_classes - 2
    prediction[1, :6] = num_classes - 1
    found = counts_of(prediction, label, num_classes, 2, ignore_index=-1)
    expected = oracles.boundary_counts(prediction, label, num_classes, 2, ignore=-1)
    np.testing.assert_array_equal(found, expected)


def test_a_square_moved_by_one_pixel_by_hand():
    label = np.zeros((8, 8), np.uint8)
    label[2:6, 1:5] = 1
    prediction = np.zeros((8, 8), np.uint8)
    prediction[2:6, 2:6] = 1
    found = counts_of(prediction, label, 2, 1)
    # rings of 4 x 4 squares have 12 px; the shared ones: 3 in the upper and lower row each; the
    # left column of one is inside the other, whose ring does not hold it
    assert found[:3, 1].tolist() == [6, 12, 12]
    # each ring pixel has one of the other ring within 1 px
    assert found[3:, 1].tolist() == [12, 12, 12, 12]
    scores = boundary_score(found, ["ground", "square"])
    assert scores.iou[1] == pytest.approx(6 / 18)
    assert scores.f1[1] == scores.precision[1] == scores.recall[1] == 1


def test_a_width_beyond_the_object_takes_all_of_it():
    label = np.zeros((9, 9), np.uint8)
    label[3:6, 3:6] = 1
    prediction = np.zeros((9, 9), np.uint8)
    prediction[3:6, 3:7] = 1
    # then the band is the object, and boundary IoU is IoU: 9 / 12
    for width in (2, 5, 100):
        found = counts_of(prediction, label, 2, width)
        assert found[:3, 1].tolist() == [9, 9, 12]
        assert boundary_score(found, ["a", "b"]).iou[1] == pytest.approx(9 / 12)


def test_the_edge_of_the_image_is_no_boundary():
    label = np.zeros((6, 8), np.uint8)
    label[:, :4] = 1  # touches three sides
    band = boundary_band(label, np.ones(label.shape, bool), 1)
    expected = np.zeros(label.shape, bool)
    expected[:, 3:5] = True
    np.testing.assert_array_equal(band, expected)


def test_a_class_that_fills_the_image_has_no_boundary_and_is_absent():
    label = np.ones((5, 5), np.uint8)
    scores = boundary_score(counts_of(label, label, 2, 2), ["a", "b"])
    assert scores.absent.all() and np.isnan(scores.mean(scores.iou))


def test_perfect_is_one_and_a_boundary_in_only_one_of_both_is_zero():
    label = np.zeros((8, 8), np.uint8)
    label[2:5, 2:5] = 1
    label[6, 6] = 2
    perfect = boundary_score(counts_of(label, label, 4, 2), list("abcd"))
    assert perfect.iou[:3].tolist() == perfect.f1[:3].tolist() == [1, 1, 1]
    assert perfect.absent.tolist() == [False, False, False, True]
    missed = np.where(label == 2, 0, label)
    scores = boundary_score(counts_of(missed, label, 4, 2), list("abcd"))
    assert scores.iou[2] == scores.f1[2] == scores.recall[2] == 0
    only_two = boundary_score(counts_of(missed, label, 4, 2), list("abcd"), exclude_from_mean="ab")
    assert only_two.mean(only_two.iou) == 0


@pytest.mark.parametrize("width", [1, 3])
def test_what_is_predicted_on_ignored_pixels_changes_nothing(width):
    prediction, label = random_pair(4, seed=9, ignored=0.3)
    expected = counts_of(prediction, label, 4, width)
    rng = np.random.default_rng(0)
    for value in (0, 3, 255, -7, None):
        other = prediction.copy()
        ignored = label == 255
        other[ignored] = rng.integers(0, 4, ignored.sum()) if value is None else value
        np.testing.assert_array_equal(counts_of(other, label, 4, width), expected)


def test_all_ignored_counts_nothing():
    assert counts_of(np.zeros((4, 4), int), np.full((4, 4), 255), 3, 2).sum() == 0


def test_ignored_pixels_make_no_boundary_of_their_neighbours():
    label = np.zeros((5, 9), np.uint8)
    label[:, 4] = 255
    assert counts_of(np.zeros((5, 9), np.uint8), label, 2, 1).sum() == 0
    # but two classes that face each other over an ignored strip do, at a width that spans it
    label[:, 5:] = 1
    assert counts_of(label, label, 2, 1).sum() == 0
    assert counts_of(np.where(label == 255, 0, label), label, 2, 2)[1].tolist() == [5, 5]


@pytest.mark.parametrize("width", [1, 2.5, 4])
@pytest.mark.parametrize("size", [3, 5])
def test_pieces_with_a_halo_sum_up_to_the_whole(width, size):
    prediction, label = random_pair(4, seed=2)
    h, w = label.shape
    halo = halo_px(width)
    total = np.zeros((7, 4), np.int64)
    for row in range(0, h, size):
        for col in range(0, w, size):
            top, left = max(0, row - halo), max(0, col - halo)
            view = (slice(top, row + size + halo), slice(left, col + size + halo))
            core = (slice(row - top, row - top + size), slice(col - left, col - left + size))
            total += counts_of(prediction[view], label[view], 4, width, core=core)
    np.testing.assert_array_equal(total, counts_of(prediction, label, 4, width))


@pytest.mark.parametrize("radius", [0, 1, 1.9, 2.24, 5, 30])
def test_dilated_bits_are_those_of_the_disk(radius):
    rng = np.random.default_rng(1)
    bits = np.where(rng.random((9, 12)) < 0.05, 1 << rng.integers(0, 8, (9, 12)), 0).astype(
        np.uint8
    )
    expected = np.zeros_like(bits)
    for y, x in np.ndindex(bits.shape):
        for v, u in np.ndindex(bits.shape):
            if (y - v) ** 2 + (x - u) ** 2 <= radius**2:
                expected[y, x] |= bits[v, u]
    np.testing.assert_array_equal(dilate_bits(bits, radius), expected)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width_px": 0.5}, "width_px must be >= 1, got 0.5"),
        ({"width_px": float("nan")}, "width_px must be >= 1"),
        ({"label": np.full((3, 3), 4)}, "label must be in 0..2, found 4..4"),
        ({"prediction": np.full((3, 3), -1)}, "prediction must be in 0..2, found -1..-1"),
        ({"prediction": np.zeros((3, 4), int)}, "of one shape"),
    ],
)
def test_what_has_no_meaning_is_refused(change, told):
    options = {"prediction": np.zeros((3, 3), int), "label": np.zeros((3, 3), int), "width_px": 1}
    with pytest.raises(ValueError, match=told):
        boundary_counts(**{**options, **change}, num_classes=3)
