"""TensorSceneBand beside the band of NumPy arrays: the same scene, two ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrs.apis.window.tensor_scene_band import TensorSceneBand
from mmrs.errors import EnvironmentError
from mmrs.geo.blending import BandAccumulator
from mmrs.geo.rows.scene_rows import Wanted, decide_rows
from mmrs.geo.windows import plan_windows

NAMES = ("labels", "confidence", "entropy", "probabilities")


@pytest.mark.parametrize("blend", ["cosine", "gaussian", "flat"])
@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("window", [(8, 6), (50, 50)])
def test_it_hands_out_what_the_band_of_arrays_does(blend, threshold, tensors, window) -> None:
    plan = plan_windows(33, 21, window, (5, 4))
    rng = np.random.default_rng(0)
    wanted = Wanted(confidence=True, entropy=True, probabilities=True)
    band = TensorSceneBand(plan, 2, blend=blend, threshold=threshold, wanted=wanted, device="cpu")
    reference, found, expected = BandAccumulator(plan, 2, blend), [], []
    for place in plan:
        first = rng.random((place.height, place.width), dtype=np.float32)
        scores = np.stack([first, 1 - first])
        found += band.pop_until(place.row)
        expected += [decide_rows(r, threshold, wanted) for r in reference.pop_until(place.row)]
        assert band.top == place.row
        band.add(place, torch.from_numpy(scores) if tensors else scores)
        reference.add(place, scores)
    found += band.pop_until(33)
    expected += [decide_rows(r, threshold, wanted) for r in reference.pop_until(33)]
    for name in NAMES:
        rows = [np.concatenate([getattr(p, name) for p in ps], axis=-2) for ps in (found, expected)]
        np.testing.assert_allclose(*rows, rtol=1e-5, atol=1e-6)


def test_only_what_is_wanted_is_there() -> None:
    plan = plan_windows(4, 4, 4, 4)
    for wish in (None, *NAMES[1:]):
        wanted = Wanted() if wish is None else Wanted(**{wish: True})
        band = TensorSceneBand(plan, 3, blend="flat", threshold=None, wanted=wanted, device="cpu")
        band.add(plan[0], torch.full((3, 4, 4), 1 / 3))
        (rows,) = band.pop_until(4)
        assert [getattr(rows, name) is not None for name in NAMES[1:]] == [
            name == wish for name in NAMES[1:]
        ]


def test_it_may_begin_below_the_top() -> None:
    plan = plan_windows(12, 4, 4, 2)
    band = TensorSceneBand(plan, 2, blend="flat", threshold=None, wanted=Wanted(), device="cpu")
    band.top = 4
    band.add(plan[2], torch.zeros(2, 4, 4))
    assert sum(len(rows) for rows in band.pop_until(6)) == 2


def test_a_device_that_cannot_decide_rows_is_told(monkeypatch) -> None:
    plan = plan_windows(4, 4, 4, 4)
    band = TensorSceneBand(plan, 2, blend="flat", threshold=None, wanted=Wanted(), device="cpu")
    band.add(plan[0], torch.zeros(2, 4, 4))

    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr("mmrs.ops.window_blend.first_best", fail)
    with pytest.raises(EnvironmentError, match="device cpu: its memory cannot hold what decides"):
        list(band.pop_until(4))
