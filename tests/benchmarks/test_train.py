"""The budgeted loop, its schedule and its scores."""

import math

import numpy as np
import pytest
import torch

from benchmarks.real.data import Subset
from benchmarks.real.train import Settings, class_iou, rate_factor, train

# MMSeg's stock cross-entropy advises an option that changes nothing where no pixel is ignored
pytestmark = pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore``")


def toy_subset(count: int) -> Subset:
    """Dark ground, a bright square: learnable from the colour."""
    masks = torch.zeros(count, 32, 32, dtype=torch.uint8)
    masks[:, 8:20, 8:24] = 1
    masks[:, 24:, :] = 2
    images = masks[:, None].float().repeat(1, 3, 1, 1) - 1
    return Subset(tuple(map(str, range(count))), images, masks)


def test_the_rate_rises_then_falls_to_one_percent():
    factors = [rate_factor(x, 0.1) for x in np.linspace(0, 1, 101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 10
    assert factors[-1] == pytest.approx(0.01)
    assert all(np.diff(factors[:11]) > 0) and all(np.diff(factors[10:]) < 0)


def test_iou_by_hand_and_an_absent_class():
    # class 0: 3 hits of 3 + 1; class 1: 2 hits of 3; class 2 neither there nor predicted
    assert class_iou(np.array([[3, 0, 0], [1, 2, 0], [0, 0, 0]]))[:2] == [3 / 4, 2 / 3]
    assert math.isnan(class_iou(np.array([[3, 0, 0], [1, 2, 0], [0, 0, 0]]))[2])


def test_a_run_keeps_its_budget_and_tells_its_curve():
    settings = Settings(
        dataset="cloud_shadow",
        model="hiresnet",
        seed=0,
        budget_s=1.0,
        lr=3e-3,
        batch_size=2,
        crop_px=32,
        num_evaluations=2,
    )
    result = train(settings, toy_subset(4), toy_subset(2))
    assert 1.0 <= result["train_cpu_s"] < 2.5
    assert [point["iterations"] for point in result["curve"]][-1] == result["iterations"] > 0
    assert len(result["curve"]) == 2
    assert np.array(result["confusion"]).sum() == 2 * 32 * 32
    assert result["miou"] == pytest.approx(np.nanmean(result["iou"]), abs=1e-4)
