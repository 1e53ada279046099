"""Every example of docs/python_api.md runs, in its order, and does what is said of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mmrs.apis.export import export_onnx
from tests.apis.test_predict import demo_config, save_model, write_scene

DOC = Path(__file__).resolve().parents[2] / "docs" / "python_api.md"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The names after each example."""
    folder = tmp_path_factory.mktemp("examples")
    config, weights = save_model(folder, demo_config(crop_size=(32, 32)))
    export_onnx(config, weights, folder / "model.onnx", check_sizes=[(32, 32)])
    pixels = np.random.default_rng(0).integers(1, 256, (60, 50, 3), dtype=np.uint8)
    pixels[:9, :11] = 0
    grid = rasterio.Affine(2.0, 0, 500_000, 0, -2.0, 5_000_000)
    write_scene(folder / "scene.tif", pixels, nodata=0, transform=grid)
    names: dict = {}
    after = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code in re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL):
            exec(compile(code, str(DOC), "exec"), names)
            after.append({**names, "folder": folder})
    return after


def test_there_are_examples(found: list[dict]) -> None:
    assert len(found) == 10


def test_the_first_three_lines_give_a_map(found: list[dict]) -> None:
    prediction = found[0]["prediction"]
    assert prediction.labels.shape == (60, 50)
    assert prediction.nodata_pixels == 99
    np.testing.assert_allclose(prediction.area_m2, 4.0 * np.array(prediction.pixels))


def test_scores_are_had_where_asked(found: list[dict]) -> None:
    assert found[0]["prediction"].confidence is None
    prediction = found[3]["prediction"]
    np.testing.assert_array_equal(prediction.confidence, prediction.probabilities.max(axis=0))


def test_files_are_written(found: list[dict]) -> None:
    folder = found[4]["folder"] / "maps"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"map.tif", "map_confidence.tif", "map_areas.csv", "map.gpkg", "look.png"}


def test_an_array_with_its_place_gives_the_files_map(found: list[dict]) -> None:
    first, array = found[0]["prediction"], found[6]["prediction"]
    np.testing.assert_array_equal(array.labels, first.labels)
    assert (array.crs, array.transform) == (first.crs, first.transform)
    assert found[5]["prediction"].crs == rasterio.CRS.from_epsg(3857)
