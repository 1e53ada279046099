"""Confusion matrices against a nested loop, scores against torchmetrics."""

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm

from mmrs.engine.confusion import confusion_matrix, score


def loop_matrix(prediction, label, num_classes, ignore_index):
    """The obvious way, one pixel at a time."""
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for p, t in zip(prediction.ravel().tolist(), label.ravel().tolist(), strict=True):
        if t != ignore_index:
            matrix[t][p] += 1
    return np.array(matrix)


def random_pair(num_classes, ignore_index, seed, dtype=np.int64):
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, num_classes, (13, 17)).astype(dtype)
    label = rng.integers(0, num_classes, (13, 17)).astype(dtype)
    label[rng.random(label.shape) < 0.2] = ignore_index
    return prediction, label


@pytest.mark.parametrize("num_classes", [1, 2, 7, 14, 15, 40, 300])
@pytest.mark.parametrize("ignore_index", [255, -1])
def test_matrix_equals_a_nested_loop(num_classes, ignore_index):
    # ids equal to ignore_index are ignored even where they would be a class
    prediction, label = random_pair(num_classes, ignore_index, seed=num_classes)
    found = confusion_matrix(prediction, label, num_classes=num_classes, ignore_index=ignore_index)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, loop_matrix(prediction, label, num_classes, ignore_index))


@pytest.mark.parametrize("ignore_index", [0, 3])
def test_ignoring_a_class_id_leaves_its_row_empty(ignore_index):
    prediction, label = random_pair(5, ignore_index, seed=1, dtype=np.uint8)
    found = confusion_matrix(prediction, label, num_classes=5, ignore_index=ignore_index)
    np.testing.assert_array_equal(found, loop_matrix(prediction, label, 5, ignore_index))
    assert found[ignore_index].sum() == 0 and found.sum() > 0


def test_more_than_2_to_24_equal_pixels_are_counted_exactly():
    # float32 cannot hold 2**24 + 1, where torch.histc stops
    n = 2**24 + 7
    label = np.ones(n, dtype=np.uint8)
    label[:3] = 0
    found = confusion_matrix(np.ones(n, dtype=np.uint8), label, num_classes=2)
    assert found.tolist() == [[0, 3], [0, n - 3]]


@pytest.mark.parametrize("num_classes", [3, 40])
@pytest.mark.parametrize("value", [-1, 40, 254, 256, 1000])
def test_labels_out_of_range_are_refused_not_dropped(num_classes, value):
    label = np.zeros((2, 2), dtype=np.int64)
    label[1, 1] = value
    with pytest.raises(ValueError, match="label must be in"):
        confusion_matrix(np.zeros((2, 2), np.int64), label, num_classes=num_classes)


@pytest.mark.parametrize("value", [-1, 3, 255, 256])
def test_predictions_out_of_range_are_refused(value):
    prediction = np.array([[0, value]])
    with pytest.raises(ValueError, match=f"prediction must be in 0..2, got {value}"):
        confusion_matrix(prediction, np.zeros((1, 2), np.int64), num_classes=3)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), num_classes=2)


@pytest.mark.parametrize("num_classes", [2, 7, 20])
@pytest.mark.parametrize("present", ["all", "one absent", "one never true"])
def test_scores_equal_torchmetrics(num_classes, present):
    prediction, label = random_pair(num_classes, 255, seed=5)
    if present == "one absent":
        prediction[prediction == 1], label[label == 1] = 0, 0
    if present == "one never true":
        label[label == 1] = 0
    scores = score(
        confusion_matrix(prediction, label, num_classes=num_classes),
        [f"c{i}" for i in range(num_classes)],
    )
    p, t = torch.from_numpy(prediction), torch.from_numpy(label)
    kwargs = {"num_classes": num_classes, "ignore_index": 255}
    macro = {**kwargs, "average": "macro"}
    expected = {
        "f1": tm.multiclass_f1_score(p, t, **macro),
        "precision": tm.multiclass_precision(p, t, **macro),
        "recall": tm.multiclass_recall(p, t, **macro),
    }
    for name, value in expected.items():
        assert scores.mean(getattr(scores, name)) == pytest.approx(float(value), abs=1e-6), name
    # torchmetrics' macro IoU counts an absent class as 0; without averaging it does the same,
    # so compare class by class where the class occurs
    iou = tm.multiclass_jaccard_index(p, t, **kwargs, average="none").numpy()
    np.testing.assert_allclose(scores.iou[~scores.absent], iou[~scores.absent], atol=1e-6)
    accuracy = tm.multiclass_accuracy(p, t, **kwargs, average="micro")
    assert scores.overall_accuracy == pytest.approx(float(accuracy), abs=1e-6)
    kappa = tm.multiclass_cohen_kappa(p, t, **kwargs)
    assert scores.kappa == pytest.approx(float(kappa), abs=1e-6, nan_ok=True)
    if present == "all":
        jaccard = tm.multiclass_jaccard_index(p, t, **macro)
        assert scores.mean(scores.iou) == pytest.approx(float(jaccard), abs=1e-6)


def test_absent_class_is_nan_and_not_averaged():
    # classes 0 and 1 only: IoU 1/2 and 2/3 by hand
    label = np.array([[0, 0, 1, 1]])
    prediction = np.array([[0, 1, 1, 1]])
    scores = score(confusion_matrix(prediction, label, num_classes=3), ["a", "b", "c"])
    assert scores.absent.tolist() == [False, False, True]
    assert np.isnan(scores.iou[2]) and np.isnan(scores.recall[2])
    assert scores.mean(scores.iou) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_excluded_class_is_scored_but_not_averaged():
    label = np.array([[0, 0, 1, 1]])
    prediction = np.array([[0, 1, 1, 1]])
    matrix = confusion_matrix(prediction, label, num_classes=2)
    scores = score(matrix, ["a", "clutter"], exclude_from_mean=["clutter"])
    assert scores.iou[1] == pytest.approx(2 / 3)
    assert scores.mean(scores.iou) == pytest.approx(1 / 2)


def test_nothing_counted_gives_nan_everywhere():
    scores = score(np.zeros((2, 2), np.int64), ["a", "b"])
    assert np.isnan([scores.mean(scores.iou), scores.overall_accuracy, scores.kappa]).all()


def test_kappa_of_large_counts_does_not_overflow():
    # 2**33 pixels: products of marginals exceed int64; kappa of this table is 1/2 by hand:
    # agreement 3/4, chance 1/2
    n = 2**31
    scores = score(np.array([[3 * n, n], [n, 3 * n]]), ["a", "b"])
    assert scores.kappa == pytest.approx(0.5)
