"""The engine of scene prediction against a whole scene computed in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.apis.predict import predict_scene, predict_scenes
from mmrs.errors import DataError
from mmrs.geo.windows import plan_starts
from tests.apis.test_predict import ColourModel, read_map, write_scene

BLENDS = {
    "cosine": lambda x: np.sin(np.pi * x) ** 2,
    "gaussian": lambda x: np.exp(-0.5 * ((x - 0.5) * 8) ** 2),
    "flat": np.ones_like,
}


class ContextModel(ColourModel):
    """Scores depend on the place in the window and, a little, on the size of the batch."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        super().__init__()
        self.fails_at = fails_at

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if len(self.shapes) == self.fails_at:
            raise RuntimeError("boom")
        self.shapes.append(windows.shape)
        _, height, width, _ = windows.shape
        place = np.add.outer(np.arange(height), 2 * np.arange(width))[..., None] % 7
        strength = windows.astype(np.float64) / 40 + place * np.array([0.0, 0.35, -0.2])
        strength += len(windows) * np.array([0.0, 0.05, 0.1])
        scores = np.exp(strength)
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.ascontiguousarray(scores.transpose(0, 3, 1, 2), dtype=np.float32)


def whole_scene(
    pixels: np.ndarray, valid: np.ndarray, *, window: int, stride: int, blend: str, batch_size: int
) -> np.ndarray:
    """Labels of a scene held in memory: every batch by hand, sums in float64."""
    height, width, _ = pixels.shape
    size = min(window, height), min(window, width)
    bumps = [BLENDS[blend]((np.arange(side) + 0.5) / side) for side in size]
    weights = np.outer(*bumps)
    corners = [
        (row, col)
        for row in plan_starts(height, window, stride)
        for col in plan_starts(width, window, stride)
    ]
    sums = np.zeros((3, height, width))
    for begin in range(0, len(corners), 8 * batch_size):
        group = [
            (slice(row, row + size[0]), slice(col, col + size[1]))
            for row, col in corners[begin : begin + 8 * batch_size]
        ]
        group = [area for area in group if valid[area].any()]
        for first in range(0, len(group), batch_size):
            areas = group[first : first + batch_size]
            for area, scores in zip(areas, ContextModel()(np.stack([pixels[a] for a in areas]))):
                sums[(slice(None), *area)] += scores * weights
    labels = sums.argmax(axis=0)
    labels[~valid] = 255
    return labels


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 27), st.integers(1, 27)),
    window=st.integers(1, 9),
    stride=st.integers(1, 9),
    blend=st.sampled_from(sorted(BLENDS)),
    batch_size=st.integers(1, 5),
    holes=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
def test_the_map_is_the_whole_scenes(
    tmp_path_factory, size, window, stride, blend, batch_size, holes, seed
) -> None:
    stride = min(stride, window)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (*size, 3), dtype=np.uint8)
    for _ in range(holes):
        row, col = rng.integers(0, size[0]), rng.integers(0, size[1])
        pixels[row : row + rng.integers(1, 20), col : col + rng.integers(1, 20)] = 0
    folder = tmp_path_factory.mktemp("scene")
    image = write_scene(folder / "scene.tif", pixels, nodata=0)
    how = {"window": window, "stride": stride, "blend": blend, "batch_size": batch_size}
    predict_scene(image, folder / "map.tif", ContextModel(), **how)
    expected = whole_scene(pixels, (pixels != 0).any(axis=-1), **how)
    np.testing.assert_array_equal(read_map(folder / "map.tif"), expected)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("fails_at", range(0, 14, 2))
def test_a_resumed_map_is_the_uninterrupted_one(tmp_path: Path, fails_at: int, gaps: bool) -> None:
    pixels = np.random.default_rng(3).integers(1, 256, (60, 17, 3), dtype=np.uint8)
    if gaps:
        pixels[12:40, 3:] = 0
    image = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    how = {"window": 8, "stride": 5, "batch_size": 2}
    predict_scene(image, tmp_path / "whole.tif", ContextModel(), **how)
    with pytest.raises(RuntimeError, match="boom"):
        predict_scene(image, tmp_path / "map.tif", ContextModel(fails_at=fails_at), **how)
    again = ContextModel()
    predict_scene(image, tmp_path / "map.tif", again, resume=True, **how)
    whole = ContextModel()
    predict_scene(image, tmp_path / "third.tif", whole, **how)
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), read_map(tmp_path / "whole.tif"))
    # a line has 3 windows: at most two lines and the batch they begin in are computed again
    assert len(again.shapes) <= len(whole.shapes) - fails_at + 4
    assert not (tmp_path / ".map.tif.mmrs-rows").exists()


def test_batches_run_across_scenes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs, expected = [], []
    for index in range(5):
        pixels = rng.integers(1, 256, (8, 8, 3), dtype=np.uint8)
        image = write_scene(tmp_path / f"{index}.tif", pixels)
        pairs.append((image, tmp_path / "maps" / f"{index}.tif"))
        expected.append(pixels.argmax(axis=-1))
    model = ColourModel()
    written = predict_scenes(pairs, model, window=8, batch_size=3)
    assert [shape[0] for shape in model.shapes] == [3, 2]
    assert [scene.path for scene in written] == [out for _, out in pairs]
    for (_, out), labels in zip(pairs, expected, strict=True):
        np.testing.assert_array_equal(read_map(out), labels)


def test_a_damaged_scene_stops_the_run_or_is_skipped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(3):
        pixels = rng.integers(1, 256, (64, 64, 3), dtype=np.uint8)
        image = write_scene(tmp_path / f"{index}.tif", pixels, compress="deflate", blockysize=8)
        pairs.append((image, tmp_path / f"map{index}.tif"))
    damaged = pairs[1][0]
    damaged.write_bytes(damaged.read_bytes()[:-3000])
    with pytest.raises(DataError, match=r"1\.tif: cannot be read at rows"):
        predict_scenes(pairs, ColourModel(), window=16)
    assert not pairs[1][1].exists()
    written = predict_scenes(pairs, ColourModel(), window=16, skip_bad=True)
    assert [scene.path.name for scene in written] == ["map0.tif", "map2.tif"]
    assert not pairs[1][1].exists()
