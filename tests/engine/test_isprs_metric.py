"""The ISPRS preset: the same numbers, with the protocol beside them."""

import logging

import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmrs.engine import ISPRSMetric, SegMetric
from mmrs.errors import ConfigError
from tests.engine.metric_samples import evaluate, sample, with_classes

CLASSES = ("impervious_surface", "building", "low_vegetation", "tree", "car", "clutter")


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger=logger.name)
    yield caplog
    logger.removeHandler(caplog.handler)


def samples(ignored=0.1):
    rng = np.random.default_rng(4)
    label = rng.integers(0, 6, (12, 12))
    prediction = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, 6, label.shape))
    label[rng.random(label.shape) < ignored] = 255
    return [sample(prediction, label)]


def run(metric, **options):
    return evaluate(with_classes(metric, CLASSES), samples(**options))


def test_the_numbers_are_those_of_seg_metric_without_clutter_in_the_means():
    names = ("mIoU", "mF1", "OA")
    expected = run(SegMetric(score_names=names, exclude_from_mean=("clutter",)))
    assert run(ISPRSMetric()) == run(ISPRSMetric(exclude_from_mean=("clutter",))) == expected
    with_clutter = run(SegMetric(score_names=names))
    assert run(ISPRSMetric(clutter=True)) == with_clutter != expected
    assert run(ISPRSMetric(exclude_from_mean=("car",), score_names="mIoU")) == run(
        SegMetric(exclude_from_mean=("car", "clutter"))
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"eroded": True}, 'ISPRS, eroded labels ("noBoundary"); clutter scored, not in the means'),
        ({"eroded": False, "clutter": True}, "ISPRS, full labels; clutter in the means; every"),
        ({}, "labels not stated"),
    ],
)
def test_the_protocol_is_printed(log, options, told):
    run(ISPRSMetric(**options), ignored=0)
    assert f"protocol: {told}" in log.text or told in log.text
    assert "0 of 144 pixels ignored" in log.text


@pytest.mark.parametrize(
    ("eroded", "ignored", "told"),
    [(True, 0, "look like full labels"), (False, 0.1, "look like eroded labels")],
)
def test_labels_that_look_otherwise_are_told(log, eroded, ignored, told):
    run(ISPRSMetric(eroded=eroded), ignored=ignored)
    assert told in log.text
    log.clear()
    run(ISPRSMetric(eroded=not eroded), ignored=ignored)
    run(ISPRSMetric(), ignored=ignored)
    assert "look like" not in log.text


def test_clutter_in_and_out_at_once_is_refused():
    with pytest.raises(ConfigError, match=r"exclude_from_mean: clutter=True, but"):
        ISPRSMetric(clutter=True, exclude_from_mean=("clutter",))


def test_a_data_set_without_clutter_is_refused():
    with pytest.raises(ConfigError, match=r"ISPRSMetric.exclude_from_mean: 'clutter' is not a"):
        evaluate(with_classes(ISPRSMetric()), samples())


def test_windows_that_count_pixels_once_do_not_look_like_eroded_labels(log):
    metric = with_classes(ISPRSMetric(eroded=False), CLASSES)
    metric.dataset_meta["count_once"] = True
    evaluate(metric, samples(ignored=0.4))
    assert "those among them that another window counts" in log.text
    assert "look like" not in log.text
