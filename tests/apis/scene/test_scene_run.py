"""The engine of scene prediction against a whole scene computed in memory."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from mmrs.apis.predict import predict_scene, predict_scenes
from mmrs.apis.scene.scene_run import PUBLISH_BEHIND
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.apis.scene.scene_writer import SceneWriter
from mmrs.apis.window.augmented_model import AugmentedWindowModel
from mmrs.apis.window.tensor_scene_band import TensorSceneBand
from mmrs.errors import DataError, MmrsError, OutputError
from mmrs.geo.array_raster import ArrayRaster
from mmrs.geo.windows import plan_starts
from tests.apis.test_predict import ROTATED, ColourModel, read_map, write_scene

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
    pixels: np.ndarray,
    valid: np.ndarray,
    *,
    window: int,
    stride: int,
    blend: str,
    batch_size: int,
    predict=None,
) -> np.ndarray:
    """Labels of a scene held in memory: every batch by hand, sums in float64."""
    predict = predict or ContextModel()
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
            batch = predict(np.stack([pixels[area] for area in areas]))
            for area, scores in zip(areas, batch, strict=True):
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


@pytest.mark.parametrize("size", [(19, 26), (5, 13), (8, 8)])
def test_augmented_windows_are_blended_in_the_same_pass(tmp_path: Path, size) -> None:
    def eight_ways(windows: np.ndarray) -> np.ndarray:
        model, total = ContextModel(), 0.0
        for turns in range(4):
            for mirror in (False, True):
                laid = np.rot90(windows, turns, (1, 2))
                laid = laid[:, ::-1] if mirror else laid
                scores = model(laid)
                scores = scores[:, :, ::-1] if mirror else scores
                total = total + np.rot90(scores, -turns, (2, 3)).astype(np.float64)
        return total / 8

    pixels = np.random.default_rng(2).integers(1, 256, (*size, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    how = {"window": 8, "stride": 5, "blend": "gaussian", "batch_size": 3}
    model = AugmentedWindowModel(ContextModel(), symmetries="d4")
    predict_scene(image, tmp_path / "map.tif", model, **how)
    valid = np.ones(size, dtype=bool)
    expected = whole_scene(pixels, valid, predict=eight_ways, **how)
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), expected)
    assert (expected != whole_scene(pixels, valid, **how)).any()


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


def test_names_of_files_are_looked_at_before_anything_is_predicted(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (8, 8, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "a.tif", pixels)
    other = write_scene(tmp_path / "b.tif", pixels)
    (tmp_path / "folder.tif").mkdir()
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), pixels)
    # as a disk shows a file that does not tell A from a
    (tmp_path / "A.tif").hardlink_to(image)
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8">'
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename '
            f'relativeToVRT="1">b.tif</SourceFilename><SourceBand>{band}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
            for band in (1, 2, 3)
        )
        + "</VRTDataset>"
    )
    cases = [
        ([(image, tmp_path / "map.png")], {}, r"map\.png: a class map is a GeoTIFF"),
        ([(image, tmp_path / "folder.tif")], {}, r"folder\.tif: is a folder"),
        ([(image, other), (other, tmp_path / "x.tif")], {}, r"b\.tif: .*it is the image .*b\.tif"),
        ([(image, tmp_path / "x.tif"), (other, tmp_path / "x.tif")], {}, "is an output of .*a.tif"),
        ([(picture, tmp_path / "a_map.tif"), (image, tmp_path / "a_map_confidence.tif")],
         {"confidence": True}, "a_map_confidence.tif: would overwrite"),
        ([(picture, tmp_path / "a.tiff")], {"overlay": True}, r"a\.png: .*it is the image"),
        ([(image, tmp_path / "A.tif")], {}, r"A\.tif: .*it is the image .*a\.tif"),
        ([(mosaic, other)], {}, r"b\.tif: .*it is a part of the image .*mosaic\.vrt"),
    ]  # fmt: skip
    model = ColourModel()
    for pairs, chosen, message in cases:
        with pytest.raises(OutputError, match=message):
            predict_scenes(pairs, model, outputs=SceneOutputs(**chosen))
    assert not model.shapes
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "A.tif", "a.png", "a.tif", "b.tif", "folder.tif", "mosaic.vrt",
    ]  # fmt: skip


def test_scores_and_pictures_lie_beside_the_map(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (20, 30, 3), dtype=np.uint8)
    pixels[3:9, 4:12] = 0
    image = write_scene(tmp_path / "scene.tif", pixels, nodata=0)
    chosen = SceneOutputs(
        format="cog", confidence=True, entropy=True, probabilities=True, score_dtype="float32",
        overlay=True,
    )  # fmt: skip
    predict_scene(image, tmp_path / "map.tif", ColourModel(), window=30, outputs=chosen)
    expected = ColourModel()(pixels[None])[0]
    valid = (pixels != 0).any(axis=-1)
    entropy = -(expected * np.log(expected)).sum(axis=0) / np.log(3)
    for name, scores in [
        ("confidence", expected.max(axis=0)[None]),
        ("entropy", entropy[None]),
        ("probabilities", expected),
    ]:
        with rasterio.open(tmp_path / f"map_{name}.tif") as dataset:
            found = dataset.read()
            assert dataset.transform.almost_equals(ROTATED, 1e-9)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_allclose(found[:, valid], scores[:, valid], atol=2e-6)
        assert np.isnan(found[:, ~valid]).all()
    assert (tmp_path / "map.png").exists()


def test_polygons_and_areas_are_those_of_the_map(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (37, 30, 3), dtype=np.uint8)
    pixels[5:20, 4:12] = 0
    grid = Affine(2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0)
    image = write_scene(tmp_path / "scene.tif", pixels, nodata=0, transform=grid)
    chosen = SceneOutputs(vectors=".gpkg", areas=True)
    predict_scene(image, tmp_path / "map.tif", ColourModel(), window=8, outputs=chosen)
    labels = read_map(tmp_path / "map.tif")
    meta, _, shapes, fields = pyogrio.raw.read(tmp_path / "map.gpkg")
    columns = dict(zip(meta["fields"], fields, strict=True))
    burnt = rasterize(
        zip(shapely.from_wkb(shapes), columns["class_id"], strict=True),
        out_shape=labels.shape, transform=grid, fill=255, dtype="uint8",
    )  # fmt: skip
    np.testing.assert_array_equal(burnt, labels)
    with open(tmp_path / "map_areas.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for index, name in enumerate(ColourModel.classes):
        count = (labels == index).sum()
        assert (rows[index]["class"], int(rows[index]["pixels"])) == (name, count)
        assert float(rows[index]["area_m2"]) == pytest.approx(4 * count)
        assert columns["area_m2"][columns["class_id"] == index].sum() == pytest.approx(4 * count)


def test_vectors_that_cannot_be_written_are_refused_before_anything_is_predicted(
    tmp_path: Path,
) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (8, 8, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    model = ColourModel()
    for chosen, message in (
        (SceneOutputs(vectors=".dwg"), "polygons are not written to .dwg"),
        (SceneOutputs(vectors=".geojson"), "the map has no CRS and grid"),
        (SceneOutputs(vectors=".gpkg", min_area_m2=3), "pixels have a known size"),
        (SceneOutputs(vectors=".gpkg", simplify_px=-1), "simplify_px must be in 0 .. 1e15, got -1"),
    ):
        with pytest.raises(MmrsError, match=message):
            predict_scene(tmp_path / "a.png", tmp_path / "map.tif", model, outputs=chosen)
    assert not model.shapes
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "place",
    [
        "mmrs.geo.polygons.vectors.VectorOutput.finish",
        "mmrs.geo.maps.area_table.AreaTable.csv_text",
    ],
)
def test_where_one_output_cannot_be_finished_none_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def fail(*_: object) -> None:
        raise OutputError("no")

    pixels = np.random.default_rng(0).integers(1, 256, (8, 8, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    monkeypatch.setattr(place, fail)
    chosen = SceneOutputs(vectors=".gpkg", areas=True, confidence=True)
    with pytest.raises(OutputError, match="no"):
        predict_scene(image, tmp_path / "map.tif", ColourModel(), outputs=chosen)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".map.tif.mmrs-rows", "scene.tif"]
    monkeypatch.undo()
    model = ColourModel()
    predict_scene(image, tmp_path / "map.tif", model, outputs=chosen, resume=True)
    assert not model.shapes  # every row was kept
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "map.gpkg", "map.tif", "map_areas.csv", "map_confidence.tif", "scene.tif",
    ]  # fmt: skip


def test_a_disk_that_may_be_too_small_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (40, 50, 3), dtype=np.uint8)
    image = write_scene(tmp_path / "scene.tif", pixels)
    monkeypatch.setattr("mmrs.geo.disk_space.free_bytes", lambda path: 100)
    predict_scene(image, tmp_path / "map.tif", ColourModel())
    assert "map.tif: may need " in caplog.text
    monkeypatch.setattr("mmrs.geo.disk_space.free_bytes", lambda path: 1)
    model = ColourModel()
    with pytest.raises(OutputError, match="bytes are needed, 1 bytes free"):
        predict_scene(image, tmp_path / "other.tif", model)
    assert not (tmp_path / "other.tif").exists()


class BrokenModel(ColourModel):
    """Scores are not numbers where red is 7; its own band is one of tensors, where asked for."""

    def __init__(self, *, tensors: bool) -> None:
        super().__init__()
        if tensors:
            self.make_band = lambda plan, blend, wanted: TensorSceneBand(
                plan, 3, blend=blend, threshold=None, wanted=wanted, device="cpu"
            )

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        scores = super().__call__(windows).copy()
        scores.transpose(0, 2, 3, 1)[windows[..., 0] == 7] = np.nan
        return scores


@pytest.mark.parametrize("tensors", [False, True])
def test_scores_that_are_not_numbers_are_no_class(tmp_path: Path, tensors: bool) -> None:
    pixels = np.random.default_rng(0).integers(10, 256, (20, 9, 3), dtype=np.uint8)
    pixels[2, 3] = (7, 0, 0)
    valid = np.ones((20, 9), dtype=bool)
    valid[2, 3] = False
    pairs = [(ArrayRaster(pixels, valid=valid), tmp_path / "gap.tif")]
    predict_scenes(pairs, BrokenModel(tensors=tensors), window=6)  # there is no data: no harm
    bad = write_scene(tmp_path / "bad.tif", np.where(pixels == 7, 7, pixels).astype(np.uint8))
    good = write_scene(tmp_path / "good.tif", np.maximum(pixels, 10))
    pairs = [(bad, tmp_path / "bad map.tif"), (good, tmp_path / "good map.tif")]
    with pytest.raises(DataError, match=r"bad\.tif: the model's scores at \(row 2, col 3\)"):
        predict_scenes(pairs, BrokenModel(tensors=tensors), window=6)
    written = predict_scenes(pairs, BrokenModel(tensors=tensors), window=6, skip_bad=True)
    assert [scene.path.name for scene in written] == ["good map.tif"]
    assert sorted(path.name for path in tmp_path.glob("*map.tif")) == ["good map.tif"]
    assert not list(tmp_path.glob(".*"))


def test_scenes_without_data_are_not_all_open_at_once(tmp_path: Path, monkeypatch) -> None:
    """A process may open 1024 files; a mosaic's tiles without data are more."""
    pixels = np.zeros((40, 4, 4, 3), dtype=np.uint8)
    pixels[[0, 30]] = 9
    pairs = [
        (write_scene(tmp_path / f"{index}.tif", each, nodata=0), tmp_path / f"map{index}.tif")
        for index, each in enumerate(pixels)
    ]
    now, most = 0, 0

    class Counted(SceneWriter):
        def __init__(self, *args) -> None:
            nonlocal now, most
            super().__init__(*args)
            now += 1
            most = max(most, now)

        def publish(self):
            nonlocal now
            counts = super().publish()
            now -= 1
            return counts

    monkeypatch.setattr("mmrs.apis.scene.scene_run.SceneWriter", Counted)
    model = ColourModel()
    written = predict_scenes(pairs, model, window=4, batch_size=3)
    assert [scene.nodata_pixels for scene in written] == [
        16 * (index not in (0, 30)) for index in range(40)
    ]
    assert len(model.shapes) == 2 and now == 0
    assert most <= PUBLISH_BEHIND + 2


def test_a_run_that_fails_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    image = write_scene(tmp_path / "a.tif", np.full((9, 9, 3), 8, dtype=np.uint8))
    model = ColourModel()
    model.make_band = lambda *_: (_ for _ in ()).throw(MmrsError("no memory"))
    with pytest.raises(MmrsError, match="no memory"):
        predict_scenes([(image, tmp_path / "maps" / "map.tif")], model, window=4)
    assert not list((tmp_path / "maps").iterdir())
