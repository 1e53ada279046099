"""Windows stitched before counting: every pixel of a scene once, equal to a whole-scene oracle."""

import itertools

import numpy as np
import pytest

from mmrs.engine import BoundaryMetric, SegMetric, scene_stitcher
from mmrs.engine.scene_stitcher import votes_by_depth, votes_by_scores
from mmrs.engine.scene_window import scene_window
from mmrs.engine.seg_metric import METRIC_NAMES
from mmrs.errors import DataError
from tests import oracles
from tests.engine.metric_samples import evaluate, sample, windows_of, with_classes

STARTS = [(0, 0), (4, 0), (6, 0), (0, 5), (4, 5), (6, 5), (0, 9), (4, 9), (6, 9)]
SIZE = 8  # over 14 x 17 px: windows overlap, the last ones are flush


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(scene_stitcher, "BLOCK_PX", 5)


def make_scene(seed=0):
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 3, (5, 6)), np.ones((3, 3), int))[:14, :17]
    label[rng.random(label.shape) < 0.1] = 255
    return label


def logit_windows(label, seed=0, scene="area1"):
    """Windows whose logits differ from window to window, as those of a network do."""
    rng = np.random.default_rng(seed + 1)
    found = []
    for start in STARTS:
        logits = rng.normal(size=(3, *label.shape)).astype(np.float32)
        found += windows_of(logits, label, [start], SIZE, scene)
    return found


def mean_of_softmax(windows, shape):
    """The oracle: probabilities of the whole scene in float64, summed window by window."""
    total = np.zeros((3, *shape))
    for window, (row, col) in zip(windows, STARTS, strict=True):
        scores = oracles.softmax(window["seg_logits"]["data"].numpy(), axis=0)
        total[:, row : row + scores.shape[1], col : col + scores.shape[2]] += scores
    return total.argmax(0)


def metrics(**options):
    return [
        with_classes(SegMetric(score_names=METRIC_NAMES, **options)),
        with_classes(BoundaryMetric(width_px=2, **options)),
    ]


def test_logits_give_the_scores_of_the_whole_scene():
    label = make_scene()
    windows = logit_windows(label)
    whole = [sample(mean_of_softmax(windows, label.shape), label)]
    for stitched, plain in zip(metrics(stitch=True), metrics(), strict=True):
        expected = evaluate(plain, whole)
        assert evaluate(stitched, windows) == expected
        assert evaluate(plain, windows) != expected


def test_without_logits_the_deepest_window_decides():
    label = make_scene(1)
    rng = np.random.default_rng(3)
    predictions = [rng.integers(0, 3, label.shape) for _ in STARTS]
    windows = [
        windows_of(p, label, [start], SIZE)[0] for p, start in zip(predictions, STARTS, strict=True)
    ]
    expected = np.zeros_like(label)
    for y, x in np.ndindex(label.shape):
        ranked = []
        for index, (row, col) in enumerate(STARTS):
            height, width = min(SIZE, 14 - row), min(SIZE, 17 - col)
            sides = (y - row, row + height - 1 - y, x - col, col + width - 1 - x)
            if min(sides) >= 0:
                ranked.append((-min(sides), row, col, index))
        expected[y, x] = predictions[min(ranked)[-1]][y, x]
    for stitched, plain in zip(metrics(stitch=True), metrics(), strict=True):
        assert evaluate(stitched, windows) == evaluate(plain, [sample(expected, label)])


def test_scenes_one_after_the_other_each_on_its_own():
    first, second = make_scene(1), make_scene(2)
    windows = [*logit_windows(first, 1, "area1"), *logit_windows(second, 2, "area12")]
    whole = [
        sample(mean_of_softmax(part, label.shape), label)
        for part, label in ((windows[:9], first), (windows[9:], second))
    ]
    stitched, plain = metrics(stitch=True)[0], metrics()[0]
    assert evaluate(stitched, windows) == evaluate(plain, whole)
    # and the metric can be used again
    assert evaluate(stitched, windows[9:]) == evaluate(plain, whole[1:])


def test_a_scene_is_counted_and_let_go_when_the_next_one_begins():
    metric = metrics(stitch=True)[0]
    for number in range(4):
        metric.process({}, logit_windows(make_scene(number), number, f"area{number}"))
        assert len(metric.results) == number, "one result for each past scene"
    assert metric._windows._stitcher._current.name == "img/area3"


def test_the_order_of_the_windows_does_not_matter():
    label = make_scene(5)
    windows = logit_windows(label)
    rng = np.random.default_rng(0)
    values = [
        evaluate(metrics(stitch=True)[0], [windows[i] for i in order])
        for order in (range(9), rng.permutation(9), rng.permutation(9))
    ]
    assert values[0] == values[1] == values[2]


def test_windows_of_equal_maps_add_nothing():
    # what every window says alike counts once: the scores are those of the scene itself
    label = make_scene(7)
    prediction = np.where(make_scene(8) == 255, 0, make_scene(8))
    expected = evaluate(metrics()[0], [sample(prediction, label)])
    assert (
        evaluate(metrics(stitch=True)[0], windows_of(prediction, label, STARTS, SIZE)) == expected
    )


def test_metas_say_the_window_too():
    label = make_scene()
    named = logit_windows(label)
    told = []
    for window, (row, col) in zip(named, STARTS, strict=True):
        height, width = window["gt_sem_seg"]["data"].shape[1:]
        told.append({**window, "img_path": "scene.tif", "window": (row, col, height, width)})
    assert evaluate(metrics(stitch=True)[0], told) == evaluate(metrics(stitch=True)[0], named)


@pytest.mark.parametrize(
    ("metas", "expected"),
    [
        ({"img_path": "a/2_10_512_0_520_8.png"}, ("a/2_10", 0, 512)),
        ({"img_path": "s.tif", "window": (3, 4, 8, 8)}, ("s.tif", 3, 4)),
        ({"img_path": "s.tif", "scene": "north", "window": (3, 4, 8, 8)}, ("north", 3, 4)),
    ],
)
def test_where_a_window_lies(metas, expected):
    found = scene_window(metas, (8, 8))
    assert (found.scene, found.row, found.col) == expected


@pytest.mark.parametrize(
    ("metas", "told"),
    [
        ({"img_path": "a/5167.png"}, r"a/5167.png: .* which window .* Fix: name tiles area1_x0"),
        ({"img_path": "a/b_0_0_4_4.png"}, "its window is 4 x 4 px, but its label 8 x 8"),
    ],
)
def test_windows_that_cannot_be_placed_are_refused(metas, told):
    with pytest.raises(DataError, match=told):
        scene_window(metas, (8, 8))


def test_labels_that_contradict_each_other_are_refused():
    windows = windows_of(np.zeros((8, 12), int), np.zeros((8, 12), int), [(0, 0), (0, 4)], 8)
    windows[1]["gt_sem_seg"]["data"][0, 2, 1] = 1
    with pytest.raises(DataError, match=r"label 1 at \(row 2, col 1\), but 0 in another window"):
        evaluate(metrics(stitch=True)[0], windows)


def test_scenes_that_come_apart_are_refused():
    first, second = logit_windows(make_scene(), 0, "a"), logit_windows(make_scene(), 0, "b")
    mixed = list(itertools.chain(*zip(first, second, strict=True)))
    with pytest.raises(DataError, match=r"windows of a come apart.* shuffle=False"):
        evaluate(metrics(stitch=True)[0], mixed)


def test_logits_for_some_windows_only_are_refused():
    windows = logit_windows(make_scene())
    del windows[3]["seg_logits"]
    with pytest.raises(DataError, match="some windows come with logits and some without"):
        evaluate(metrics(stitch=True)[0], windows)


def test_scores_that_are_not_finite_are_refused():
    windows = logit_windows(make_scene())
    windows[2]["seg_logits"]["data"][0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=r"area1_0_6.*must be finite"):
        evaluate(metrics(stitch=True)[0], windows)


def test_what_is_predicted_on_ignored_pixels_changes_nothing():
    label = make_scene(4)
    windows = logit_windows(label)
    for metric in metrics(stitch=True):
        expected = evaluate(metric, windows)
        for window in windows:
            ignored = window["gt_sem_seg"]["data"][0] == 255
            window["seg_logits"]["data"][:, ignored] = 9.0
            window["pred_sem_seg"]["data"][0, ignored] = 2
        assert evaluate(metric, windows) == expected


def test_votes_keep_the_order_of_the_scores():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 6, 7)).astype(np.float32)
    votes = votes_by_scores(logits)
    assert votes.dtype == np.int32
    np.testing.assert_array_equal(votes.argmax(0), logits.argmax(0))
    np.testing.assert_allclose(votes / 2**22, oracles.softmax(logits, axis=0), atol=2**-22)


@pytest.mark.parametrize(("row", "value"), [(2**20, 0), (0, 256)])
def test_votes_beyond_their_bits_are_refused(row, value):
    with pytest.raises(ValueError, match="to be stitched"):
        votes_by_depth(np.full((2, 2), value), row, 0)
