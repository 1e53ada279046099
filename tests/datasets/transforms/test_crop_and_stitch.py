"""Crop-and-stitch: against a loop, by provenance, its distribution, its workers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import worker_init_fn
from mmseg.datasets import MultiImageMixDataset
from scipy import stats

from mmrs.datasets.transforms import CropAndStitch
from mmrs.datasets.transforms.crop_and_stitch import crop_and_stitch, draw_stitch
from mmrs.errors import ConfigError, DataError
from tests.oracles import stitch_pixel_by_pixel


def coordinates(number, height, width):
    """An image whose pixels say where they are, (number, y, x), and a label that says the same."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([np.full_like(y, number), y, x], axis=-1)
    return image, number * 10_000 + y * 100 + x


@st.composite
def stitches(draw):
    """Result size, boundary (degenerate ones too), sizes of four images, offsets that fit."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    w, h = draw(st.integers(0, width)), draw(st.integers(0, height))
    sizes, offsets = [], []
    for rows, cols in ((h, w), (h, width - w), (height - h, w), (height - h, width - w)):
        spare_y, spare_x = draw(st.integers(0, 5)), draw(st.integers(0, 5))
        sizes.append((max(1, rows + spare_y), max(1, cols + spare_x)))
        offsets.append((draw(st.integers(0, spare_x)), draw(st.integers(0, spare_y))))
    return (height, width), (w, h), sizes, offsets


@given(stitches())
def test_it_is_the_papers_rule_pixel_by_pixel(case):
    size, boundary, sizes, offsets = case
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*each, 2)).astype(np.uint8) for each in sizes]
    labels = [rng.integers(0, 9, each).astype(np.uint8) for each in sizes]
    image, label = crop_and_stitch(images, labels, boundary, offsets, size=size)
    expected_image, expected_label = stitch_pixel_by_pixel(images, labels, boundary, offsets, size)
    np.testing.assert_array_equal(image, expected_image)
    np.testing.assert_array_equal(label, expected_label)
    assert (image.dtype, label.dtype) == (np.uint8, np.uint8)


@given(stitches())
def test_a_pixel_and_its_label_come_from_one_pixel_of_one_source(case):
    size, (w, h), sizes, offsets = case
    sources = [coordinates(number, *each) for number, each in enumerate(sizes)]
    image, label = crop_and_stitch(*zip(*sources, strict=True), (w, h), offsets, size=size)
    number, y, x = np.moveaxis(image, -1, 0)
    np.testing.assert_array_equal(label, number * 10_000 + y * 100 + x)
    rows, cols = np.mgrid[: size[0], : size[1]]
    np.testing.assert_array_equal(number, 2 * (rows >= h) + (cols >= w))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_every_draw_fits_and_fills_the_result(seed, height, width):
    rng = np.random.default_rng(seed)
    sizes = [(height + int(a), width + int(b)) for a, b in rng.integers(0, 4, (4, 2))]
    boundary, offsets = draw_stitch(rng, (height, width), sizes)
    sources = [coordinates(number, *each) for number, each in enumerate(sizes)]
    image, _ = crop_and_stitch(*zip(*sources, strict=True), boundary, offsets, size=(height, width))
    assert image.shape == (height, width, 3)


@pytest.mark.parametrize("beta", [(0.3, 0.3), (2.0, 5.0)])
def test_both_coordinates_of_the_boundary_follow_the_beta_distribution(beta):
    rng = np.random.default_rng(0)
    size = (10**6, 10**6)  # so fine that rounding does not show
    drawn = np.array([draw_stitch(rng, size, [size] * 4, beta=beta)[0] for _ in range(1500)])
    for column in drawn.T / 1e6:
        assert stats.kstest(column, stats.beta(*beta).cdf).pvalue > 0.01
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.08  # 3 standard deviations


def test_offsets_are_uniform_over_all_places():
    rng = np.random.default_rng(0)
    drawn = [draw_stitch(rng, (4, 4), [(6, 4)] * 4)[:2] for _ in range(2000)]
    # of the 6 rows, a quadrant of h rows can start at 0 .. 6 - h
    starts = [offsets[0][1] for (_, h), offsets in drawn if h == 4]
    counts = np.bincount(starts, minlength=3)
    assert len(starts) > 300 and len(counts) == 3
    assert stats.chisquare(counts).pvalue > 0.01


def test_quadrants_without_width_or_height_take_nothing():
    sources = [coordinates(number, 4, 5) for number in range(4)]
    for boundary, only in (((5, 4), 0), ((0, 4), 1), ((5, 0), 2), ((0, 0), 3)):
        image, _ = crop_and_stitch(*zip(*sources, strict=True), boundary, [(0, 0)] * 4)
        np.testing.assert_array_equal(image, sources[only][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 3}, "images must be four, got 3"),
        ({"offsets": 3}, "offsets must be four, got 3"),
        ({"label": (4, 4)}, r"label must be \(4, 5\) as its image, got \(4, 4\)"),
        ({"image": (4, 6)}, r"images must be of one size, got \[\(4, 5\), \(4, 5\), \(4, 5\), "),
        ({"boundary": (6, 0)}, r"boundary must lie in \(0, 0\) .. \(5, 4\), got \(6, 0\)"),
        ({"offset": (3, 0)}, r"a crop of 2 x 3 at \(x 3, y 0\) leaves its image of 4 x 5"),
        ({"offset": (-1, 0)}, r"at \(x -1, y 0\) leaves its image"),
        ({"dtype": np.int8}, "one type and channels"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    images, labels = zip(*(coordinates(number, 4, 5) for number in range(4)), strict=True)
    images, labels, offsets = list(images), list(labels), [(0, 0)] * 4
    if "image" in change:
        images[3], labels[3] = coordinates(3, *change["image"])
    if "label" in change:
        labels[3] = np.zeros(change["label"], int)
    if "offset" in change:
        offsets[3] = change["offset"]
    if "dtype" in change:
        images[3] = images[3].astype(change["dtype"])
    images, offsets = images[: change.get("images", 4)], offsets[: change.get("offsets", 4)]
    with pytest.raises(ValueError, match=message):
        crop_and_stitch(images, labels, change.get("boundary", (2, 2)), offsets)


def a_sample(number, height=6, width=8):
    image, label = coordinates(number, height, width)
    return {
        "img": image,
        "gt_seg_map": label,
        "seg_fields": ["gt_seg_map"],
        "img_path": f"{number}.png",
        "seg_map_path": f"{number}_label.png",
        "img_shape": (height, width),
        "ori_shape": (height, width),
    }


def stitch_samples(step, samples, seed=0):
    return step.stitch(samples, np.random.default_rng(seed))


def test_a_sample_is_stitched_with_its_labels_and_tells_from_what():
    samples = [a_sample(number) for number in range(4)]
    result = stitch_samples(CropAndStitch(), samples)
    told = result["stitch"]
    expected = crop_and_stitch(
        [s["img"] for s in samples],
        [s["gt_seg_map"] for s in samples],
        told["boundary"],
        told["offsets"],
    )
    np.testing.assert_array_equal(result["img"], expected[0])
    np.testing.assert_array_equal(result["gt_seg_map"], expected[1])
    assert told["img_paths"] == ["0.png", "1.png", "2.png", "3.png"]
    np.testing.assert_array_equal(samples[0]["img"], a_sample(0)["img"])  # not in place


def test_every_map_of_a_sample_is_stitched():
    samples = [a_sample(number) for number in range(4)]
    for sample in samples:
        sample["gt_edge_map"] = sample["gt_seg_map"] + 1
        sample["seg_fields"] = ["gt_seg_map", "gt_edge_map"]
    result = stitch_samples(CropAndStitch(), samples)
    np.testing.assert_array_equal(result["gt_edge_map"], result["gt_seg_map"] + 1)


def test_a_size_cuts_the_result_out_of_larger_images_of_any_size():
    samples = [a_sample(number, 6 + number, 9 - number) for number in range(4)]
    result = stitch_samples(CropAndStitch(size=(5, 4)), samples)
    number, y, x = np.moveaxis(result["img"], -1, 0)
    np.testing.assert_array_equal(result["gt_seg_map"], number * 10_000 + y * 100 + x)
    assert result["img_shape"] == result["ori_shape"] == result["img"].shape[:2] == (5, 4)


def test_prob_is_the_share_of_stitched_samples_and_beta_moves_the_boundary():
    def share(**options):
        step = CropAndStitch(**options)
        results = []
        for _ in range(200):
            sample = {**a_sample(0), "mix_results": [a_sample(number) for number in (1, 2, 3)]}
            results.append(step(sample))
        return results

    assert not any("stitch" in result for result in share(prob=0.0))
    assert all("stitch" in result for result in share(prob=1.0))
    assert 70 < sum("stitch" in result for result in share()) < 130  # 100, 4 deviations of 7
    corners = [result["stitch"]["boundary"] for result in share(prob=1.0, beta=(50.0, 50.0))]
    assert {w in (3, 4, 5) and h in (2, 3, 4) for w, h in corners} == {True}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob": 1.5}, "CropAndStitch.prob: 1.5 is not a number from 0 to 1"),
        ({"beta": (0.0, 1.0)}, r"CropAndStitch.beta: \(0.0, 1.0\) is not two numbers above 0"),
        ({"size": (0, 4)}, r"CropAndStitch.size: \(0, 4\) is not \(height, width\)"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        CropAndStitch(**options)


def test_samples_that_cannot_be_stitched_are_named_in_one_line():
    step = CropAndStitch(prob=1.0)
    samples = [a_sample(number) for number in range(4)]
    with pytest.raises(ConfigError, match="three more samples are needed"):
        step(samples[0])
    with pytest.raises(DataError, match=r"9.png: image is 5 x 8, but must be as the image"):
        stitch_samples(step, [*samples[:3], a_sample(9, 5, 8)])
    with pytest.raises(DataError, match=r"9.png: image is 5 x 8, but must be at least 6 x 8"):
        stitch_samples(CropAndStitch(size=(6, 8)), [*samples[:3], a_sample(9, 5, 8)])
    other = {**a_sample(9), "gt_seg_map": np.zeros((6, 7), int)}
    with pytest.raises(DataError, match=r"9_label.png: gt_seg_map is 6 x 7 but the image is 6 x 8"):
        stitch_samples(step, [*samples[:3], other])
    grey = {**a_sample(9), "img": np.zeros((6, 8, 1), int)}
    with pytest.raises(DataError, match="img cannot be stitched"):
        stitch_samples(step, [*samples[:3], grey])
    unlabelled = {**a_sample(9), "gt_seg_map": None}
    with pytest.raises(ConfigError, match="a sample has no 'gt_seg_map'"):
        stitch_samples(step, [*samples[:3], unlabelled])


class Samples:
    """What MMSegmentation's MultiImageMixDataset needs of a data set."""

    metainfo = {}

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return a_sample(index)

    def full_init(self):
        pass


@pytest.fixture
def mixed(monkeypatch):
    monkeypatch.setattr("mmseg.datasets.dataset_wrappers.DATASETS.build", lambda _: Samples())
    return MultiImageMixDataset({}, [{"type": "mmrs.CropAndStitch", "prob": 1.0}])


def test_mmsegs_mixing_data_set_draws_three_different_others(mixed):
    others = [mixed[0]["stitch"]["img_paths"][1:] for _ in range(60)]
    assert all(len(set(paths)) == 3 for paths in others)
    assert {path for paths in others for path in paths} == {f"{i}.png" for i in range(5)}
    assert CropAndStitch().get_indices([7]) == [0, 0, 0]


@pytest.mark.parametrize("seeded_by", ["torch", "mmengine"])
def test_workers_draw_different_stitches(mixed, seeded_by):
    def draws(seed, rank=0, epochs=1):
        init = None
        if seeded_by == "mmengine":
            init = lambda worker: worker_init_fn(worker, 2, rank=rank, seed=seed)  # noqa: E731
        torch.manual_seed(seed)
        loader = torch.utils.data.DataLoader(
            [0, 1, 2, 3],
            num_workers=2,
            batch_size=1,
            collate_fn=lambda batch: repr(mixed[0]["stitch"]),
            worker_init_fn=init,
        )
        return [drawn for _ in range(epochs) for drawn in loader]

    first = draws(0)
    assert len(set(first)) == 4
    # workers start anew for the second epoch, and MMEngine gives them the seeds of the first
    assert len(set(draws(0, epochs=2))) == 8
    assert draws(0) == first and draws(7) != first
    if seeded_by == "mmengine":
        assert not set(draws(0, rank=1)) & set(first)
