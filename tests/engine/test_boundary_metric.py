"""BoundaryMetric: its width, what it prints and refuses, and sums over images."""

import logging

import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmrs.engine import BoundaryMetric
from mmrs.engine.boundary_metric import width_in_px
from mmrs.errors import ConfigError, DataError, LabelError
from tests import oracles
from tests.engine.metric_samples import evaluate, sample, with_classes

WIDTH = 2.0


def make(**options):
    options = options or {"width_px": WIDTH}
    return with_classes(BoundaryMetric(**options))


def random_samples(count, seed=0, **extra):
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        label = np.kron(rng.integers(0, 3, (3, 3)), np.ones((3, 3), int))
        prediction = np.roll(label, 1, axis=index % 2)
        label[rng.random(label.shape) < 0.1] = 255
        found.append(sample(prediction, label, f"t{index}", **extra))
    return found


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger=logger.name)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_scores_are_those_of_summed_counts_in_percent():
    samples = random_samples(4)
    counts = sum(
        oracles.boundary_counts(
            s["pred_sem_seg"]["data"][0].numpy(), s["gt_sem_seg"]["data"][0].numpy(), 3, WIDTH
        )
        for s in samples
    )
    both, truth, predicted, edge, found, drawn, right = counts
    iou = both / (truth + predicted - both)
    precision, recall = right / drawn, found / edge
    f1 = 2 * precision * recall / (precision + recall)
    values = evaluate(make(), samples)
    assert values == pytest.approx({"bIoU": 100 * iou.mean(), "bF1": 100 * f1.mean()})
    assert 0 < values["bIoU"] < values["bF1"] < 100


def test_a_width_in_metres_is_taken_by_each_samples_gsd():
    in_px = [evaluate(make(width_px=w), random_samples(2, seed=w)) for w in (1, 3)]
    in_m = [
        evaluate(make(width_m=0.9), random_samples(2, seed=w, gsd_m=gsd))
        for w, gsd in ((1, 0.9), (3, 0.3))
    ]
    assert in_m == in_px and in_px[0] != in_px[1]
    # the option goes before the samples
    forced = make(width_m=0.9, gsd_m=0.3)
    assert evaluate(forced, random_samples(2, seed=3, gsd_m=0.9)) == in_px[1]


@pytest.mark.parametrize(
    ("width", "gsd", "px"), [(0.3, 0.1, 3), (1, 0.3, 3.333333333), (1, (1, 1), 1)]
)
def test_metres_to_pixels(width, gsd, px):
    assert width_in_px(width, gsd) == px


def test_without_a_gsd_a_width_in_metres_is_refused():
    with pytest.raises(DataError, match=r"ann/t0.png: no ground .* Fix: set gsd_m"):
        evaluate(make(width_m=1.0), random_samples(1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"score_names": ["bIoU"]}, "BoundaryMetric.width_px: .* neither is given"),
        ({"width_px": 1, "width_m": 1}, "both is given"),
        ({"width_px": 0.5}, r"width_px: must be >= 1, got 0.5"),
        ({"width_m": -1}, r"width_m: must be > 0, got -1"),
        ({"width_m": 1, "gsd_m": 0}, r"gsd_m: must be > 0, got 0"),
        ({"width_px": float("inf")}, "must be >= 1, got inf"),
        ({"width_px": 3, "score_names": "biou"}, "unknown metric 'biou'.* did you mean 'bIoU'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        BoundaryMetric(**options)


def test_less_than_a_pixel_is_refused():
    with pytest.raises(ConfigError, match=r"0.2 m is less than a pixel of 0.5 m"):
        evaluate(make(width_m=0.2), random_samples(1, gsd_m=0.5))


def test_a_label_out_of_range_names_file_and_pixel():
    with pytest.raises(LabelError, match=r"ann/t0.png: value 3 at \(row 0, col 1\)"):
        evaluate(make(), [sample([[0, 0]], [[0, 3]])])


def test_absent_classes_and_the_protocol_are_printed(log):
    label = np.zeros((6, 6), int)
    label[2:4, 2:4] = 1
    values = evaluate(make(width_px=1, exclude_from_mean=["field"]), [sample(label, label)])
    assert values == {"bIoU": 100, "bF1": 100}
    assert "absent" in log.text and "field (not in the mean)" in log.text
    assert "means are over 1 of 3 classes; 2 left out: field, road" in log.text
    assert "protocol: boundaries at 1 px; every sample counted as it is" in log.text


def test_no_boundary_at_all_is_nan_and_said(log):
    values = evaluate(make(score_names=["bIoU"], width_px=2), [sample([[0, 0]], [[0, 0]])])
    assert list(values) == ["bIoU"] and np.isnan(values["bIoU"])
    assert "cannot become the best" in log.text


def test_ignore_index_and_prefix_are_used():
    prediction, label = np.zeros((4, 4), int), np.zeros((4, 4), int)
    label[:, 2:] = 2
    plain = evaluate(make(width_px=1), [sample(prediction, label)])
    ignoring = evaluate(make(width_px=1, ignore_index=2, prefix="val"), [sample(prediction, label)])
    assert plain["bIoU"] == 0 and np.isnan(ignoring["val/bIoU"])
