"""Class maps against label rasters: counts of the whole scene, and what is refused."""

from __future__ import annotations

import csv
import os
import sys

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from mmrs.apis.evaluate_scene import evaluate_scenes, parse_label_map
from mmrs.apis.score import scene_counts
from mmrs.errors import ConfigError, DataError, LabelError, MmrsError, OutputError
from mmrs.geo.maps.class_map import write_class_map
from mmrs.geo.raster import Georeference, allow_missing_georeference
from tests import oracles
from tests.apis.tiny_run import run_tool

CLASSES = ("field", "water", "road")
PALETTE = [(120, 180, 90), (60, 90, 200), (255, 255, 255)]
UTM = CRS.from_epsg(32633)
GRID = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
SHAPE = (23, 31)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(scene_counts, "MAX_BLOCK_WIDTH", 12)
    monkeypatch.setattr(scene_counts, "BLOCK_PIXELS", 84)


def make_ids(seed=0):
    """A prediction and a label of patches, a tenth of the label ignored."""
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 3, (6, 8)), np.ones((4, 4), int))[: SHAPE[0], : SHAPE[1]]
    prediction = np.roll(label, 1, axis=1)
    label[rng.random(SHAPE) < 0.1] = 255
    return prediction.astype(np.uint8), label.astype(np.uint8)


def write_map(path, ids, *, crs=UTM, transform=GRID, classes=CLASSES, palette=PALETTE):
    place = Georeference(crs=crs, transform=transform)
    options = {"classes": classes, "palette": palette[: len(classes)], "georeference": place}
    with write_class_map(path, height=ids.shape[0], width=ids.shape[1], **options) as writer:
        writer.write_rows(ids)
    return path


def write_label(path, ids, *, crs=UTM, transform=GRID, nodata=None):
    """(H, W) ids, or (3, H, W) colours."""
    bands = ids[None] if ids.ndim == 2 else ids
    profile = {"driver": "GTiff", "count": len(bands), "dtype": ids.dtype, "nodata": nodata}
    size = {"height": bands.shape[1], "width": bands.shape[2]}
    with (
        allow_missing_georeference(),
        rasterio.open(path, "w", crs=crs, transform=transform, **profile, **size) as raster,
    ):
        raster.write(bands)
    return path


def loop_matrix(prediction, label):
    matrix = np.zeros((3, 3), int)
    for p, t in zip(prediction.ravel(), label.ravel(), strict=True):
        if t != 255 and p != 255:
            matrix[t, p] += 1
    return matrix


@pytest.fixture
def scene(tmp_path):
    prediction, label = make_ids()
    pair = write_map(tmp_path / "map.tif", prediction), write_label(tmp_path / "label.tif", label)
    return pair, prediction, label


def test_blocks_give_the_counts_of_the_whole_scene(scene):
    pair, prediction, label = scene
    found = evaluate_scenes([pair], boundary_px=2.5, metrics=["mIoU", "bIoU", "bF1"])
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(prediction, label))
    expected = oracles.boundary_counts(prediction, label, 3, 2.5)
    np.testing.assert_array_equal(found.boundary.counts, expected)
    assert found.ignored == (label == 255).sum() and found.unpredicted == 0
    iou = np.diag(found.scores.matrix) / (
        found.scores.matrix.sum(0) + found.scores.matrix.sum(1) - np.diag(found.scores.matrix)
    )
    assert found.values["mIoU"] == pytest.approx(100 * iou.mean())
    assert list(found.values) == ["mIoU", "bIoU", "bF1"]


def test_several_scenes_are_counted_together(tmp_path, scene):
    other = make_ids(3)
    second = write_map(tmp_path / "m.tif", other[0]), write_label(tmp_path / "l.tif", other[1])
    found = evaluate_scenes([scene[0], second], exclude_from_mean=["road"])
    expected = loop_matrix(*scene[1:]) + loop_matrix(*other)
    np.testing.assert_array_equal(found.scores.matrix, expected)
    assert found.scores.averaged.tolist() == [True, True, False]
    assert "2 whole scenes, every pixel counted once" in found.text()
    assert "road (not in the mean)" in found.text()


@pytest.mark.skipif(sys.platform != "linux", reason="counts files by /proc")
def test_scenes_are_open_one_at_a_time(tmp_path):
    # a process may open 1024 files
    pairs = []
    for index in range(4):
        prediction, label = make_ids(index)
        pairs.append(
            (
                write_map(tmp_path / f"m{index}.tif", prediction),
                write_label(tmp_path / f"l{index}.tif", label),
            )
        )
    most = 0

    def count_open(done, total):
        nonlocal most
        found = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        most = max(most, sum(name.startswith(str(tmp_path)) for name in found))

    assert evaluate_scenes(pairs, progress=count_open).scenes == 4
    assert 1 <= most <= 2


def test_nodata_of_the_label_and_of_the_map_do_not_count(tmp_path):
    prediction, label = make_ids()
    label[:, :5] = 2
    label[:4] = 77
    prediction[10:, 20:] = 255
    pair = (
        write_map(tmp_path / "map.tif", prediction),
        write_label(tmp_path / "label.tif", label, nodata=77),
    )
    found = evaluate_scenes([pair], boundary_px=1)
    label[:4] = 255
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(prediction, label))
    without = np.where(prediction == 255, 255, label)
    expected = oracles.boundary_counts(prediction, without, 3, 1)
    np.testing.assert_array_equal(found.boundary.counts, expected)
    assert found.unpredicted == ((prediction == 255) & (label != 255)).sum() > 0
    assert f"{found.unpredicted} labelled pixels without a prediction" in found.text()


@pytest.mark.parametrize(
    ("raw", "options"),
    [
        (lambda ids: np.where(ids == 255, 0, ids + 1), {"reduce_zero_label": True}),
        (lambda ids: np.where(ids == 2, 200, ids), {"label_map": {200: 2}}),
        (lambda ids: np.array([1, 0, 2, *[255] * 253])[ids], {"label_map": {0: 1, 1: 0}}),
        (lambda ids: np.where(ids == 255, 9, ids), {"ignore_index": 9}),
        (lambda ids: np.where(ids == 255, -1, ids).astype(np.int16), {"ignore_index": -1}),
    ],
)
def test_label_ids_are_mapped(tmp_path, raw, options):
    prediction, label = make_ids()
    stored = raw(label.astype(int))
    stored = stored if stored.dtype == np.int16 else stored.astype(np.uint8)
    pair = write_map(tmp_path / "m.tif", prediction), write_label(tmp_path / "l.tif", stored)
    found = evaluate_scenes([pair], **options)
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(prediction, label))


def test_colour_labels_are_read_by_the_map_s_colours(tmp_path):
    prediction, label = make_ids()
    colours = np.zeros((256, 3), np.uint8)  # black where ignored, as eroded ISPRS labels are
    colours[:3] = PALETTE
    picture = colours[label].transpose(2, 0, 1)
    pair = write_map(tmp_path / "m.tif", prediction), write_label(tmp_path / "l.tif", picture)
    found = evaluate_scenes([pair], colour_labels=True)
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(prediction, label))
    with pytest.raises(LabelError, match=r"l.tif: a picture of 3 bands.* --colour-labels"):
        evaluate_scenes([pair])
    picture[:, 13, 17] = (1, 2, 3)
    write_label(tmp_path / "l.tif", picture)
    with pytest.raises(LabelError, match=r"colour \(1, 2, 3\) at \(row 13, col 17\)"):
        evaluate_scenes([pair], colour_labels=True)


def test_black_is_a_label_where_a_class_is_black(tmp_path):
    prediction, label = make_ids()
    label[label == 255] = 0
    palette = [(0, 0, 0), *PALETTE[1:]]
    picture = np.array(palette, np.uint8)[label].transpose(2, 0, 1)
    scene_map = write_map(tmp_path / "m.tif", prediction, palette=palette)
    found = evaluate_scenes(
        [(scene_map, write_label(tmp_path / "l.tif", picture))], colour_labels=True
    )
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(prediction, label))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"transform": GRID @ Affine.translation(0.5, 0)}, r"500000\.25"),
        ({"crs": CRS.from_epsg(32634)}, "EPSG:32634"),
    ],
)
def test_labels_on_another_grid_are_refused_with_both(tmp_path, scene, change, told):
    moved = write_label(tmp_path / "moved.tif", scene[2], **change)
    with pytest.raises(DataError, match=told) as caught:
        evaluate_scenes([(scene[0][0], moved)])
    line = str(caught.value)
    assert line.startswith(f"{moved}: not on the grid of {scene[0][0]}")
    assert "EPSG:32633" in line and "transform (0.5, 0, 500000," in line and "--reproject" in line


def test_labels_of_another_size_are_refused(tmp_path, scene):
    cut = write_label(tmp_path / "cut.tif", scene[2][:20])
    with pytest.raises(DataError, match=r"20 x 31 px.*23 x 31 px"):
        evaluate_scenes([(scene[0][0], cut)])


def test_reprojected_labels_lie_on_the_map(tmp_path, scene):
    # pixels of half the size, and of a larger area: the nearest of four is one of them
    fine = np.kron(scene[2], np.ones((2, 2), np.uint8))
    fine = np.pad(fine, ((4, 0), (6, 0)), constant_values=255)
    grid = GRID @ Affine.scale(0.5) @ Affine.translation(-6, -4)
    pair = scene[0][0], write_label(tmp_path / "fine.tif", fine, transform=grid)
    found = evaluate_scenes([pair], reproject=True)
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(*scene[1:]))


def test_without_a_crs_pixels_are_compared_as_they_lie_and_it_is_said(tmp_path, scene, caplog):
    plain = write_label(tmp_path / "plain.tif", scene[2], crs=None, transform=None)
    found = evaluate_scenes([(scene[0][0], plain)])
    np.testing.assert_array_equal(found.scores.matrix, loop_matrix(*scene[1:]))
    assert f"{plain}: has no CRS or grid" in caplog.text and "map.tif: has" not in caplog.text


def test_a_width_in_metres_goes_by_the_map_s_pixels(scene):
    in_m = evaluate_scenes([scene[0]], boundary_m=1.0)
    assert in_m.values == evaluate_scenes([scene[0]], boundary_px=2).values
    assert {"bIoU", "bF1"} <= set(in_m.values) and "boundaries at 1 m" in in_m.text()


@pytest.mark.parametrize(
    ("value", "told"),
    [(7, r"value 7 at \(row 20, col 30\), but classes has 3 \(0-2\)"), (3, "--reduce-zero-label")],
)
def test_a_label_that_is_no_class_names_the_pixel(tmp_path, scene, value, told):
    label = scene[2].copy()
    label[20, 30] = value
    with pytest.raises(LabelError, match=told):
        evaluate_scenes([(scene[0][0], write_label(tmp_path / "bad.tif", label))])


def test_a_prediction_that_is_no_class_names_the_pixel(tmp_path, scene):
    label = write_label(tmp_path / "two.tif", scene[2] % 2)
    with pytest.raises(DataError, match=r"map.tif: class 2 at .* there are 2 classes"):
        evaluate_scenes([(scene[0][0], label)], classes=["field", "water"], ignore_index=1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metrics": ["miou"]}, "--metrics: unknown metric 'miou'. Fix: did you mean 'mIoU'"),
        ({"metrics": ["bIoU"]}, "bIoU, bF1: .* add --boundary-px 3"),
        ({"boundary_px": 0}, "must be >= 1, got 0"),
        ({"exclude_from_mean": ["sea"]}, "--exclude: 'sea' is not a class"),
        ({"label_map": {1: 2}, "reduce_zero_label": True}, "one of --label-map"),
        ({"classes": []}, "--classes: 0 classes"),
    ],
)
def test_options_that_mean_nothing_are_refused(scene, options, told):
    with pytest.raises(ConfigError, match=told):
        evaluate_scenes([scene[0]], **options)


def test_maps_that_are_none_are_refused(tmp_path, scene):
    label, picture = scene[0][1], np.zeros((3, *SHAPE), np.uint8)
    with pytest.raises(DataError, match=r"label.tif: it does not name its classes.* --classes"):
        evaluate_scenes([(label, label)])
    three = write_label(tmp_path / "rgb.tif", picture)
    with pytest.raises(DataError, match=r"rgb.tif: 3 bands of uint8, but a class map is one"):
        evaluate_scenes([(three, label)], classes=CLASSES)
    other = write_map(tmp_path / "o.tif", scene[1], classes=("field", "sea", "road"))
    with pytest.raises(DataError, match=r"o.tif: its classes are field, sea, road, those of"):
        evaluate_scenes([scene[0], (other, label)])
    with pytest.raises(MmrsError, match="no class map"):
        evaluate_scenes([])


def test_the_matrix_replaces_no_file_that_is_evaluated(scene):
    pair = scene[0]
    for path in pair:
        before = path.read_bytes()
        with pytest.raises(OutputError, match="would overwrite a file that is evaluated"):
            evaluate_scenes([pair], confusion_matrix=path)
        assert path.read_bytes() == before


def test_the_words_of_a_label_map():
    assert parse_label_map(["255=1", "3=0", "-1=255"]) == {255: 1, 3: 0, -1: 255}
    with pytest.raises(ConfigError, match="'255:1' does not map an id"):
        parse_label_map(["255:1"])


def test_the_tool_prints_tables_and_writes_the_matrix(tmp_path, scene, capsys):
    (scene_map, label), prediction, ids = scene
    matrix = tmp_path / "sub" / "matrix.csv"
    words = ("--metrics", "OA", "bF1", "--boundary-m", "1.5", "--confusion-matrix", matrix)
    assert run_tool("evaluate_scene", scene_map, label, *words) == 0
    out = capsys.readouterr().out
    assert "| field" in out and "| boundaries" not in out and "bF1" in out
    rows = list(csv.reader(matrix.read_text().splitlines()))
    np.testing.assert_array_equal(
        np.array([row[1:] for row in rows[1:]], int), loop_matrix(prediction, ids)
    )


def test_the_tool_tells_in_one_line(tmp_path, scene, capsys):
    assert run_tool("evaluate_scene", scene[0][0]) == 2
    assert capsys.readouterr().err == (
        "error: files come in pairs, a map and its label. Fix: name MAP LABEL\n"
    )
    assert run_tool("evaluate_scene", scene[0][0], tmp_path / "no.tif") == 1
    assert (
        capsys.readouterr().err.strip().splitlines()[-1].startswith(f"error: {tmp_path / 'no.tif'}")
    )


def test_the_tool_takes_labels_below_0(tmp_path, scene, capsys):
    (path, stored), _, label = scene
    below = write_label(tmp_path / "b.tif", np.where(label == 255, -1, label).astype(np.int16))
    assert run_tool("evaluate_scene", path, stored) == 0
    expected = capsys.readouterr().out
    assert run_tool("evaluate_scene", path, below, "--label-map=-1=255") == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(("dtype", "value"), [("int16", -1), ("uint64", 2**64 - 1)])
def test_an_id_below_the_classes_is_told(tmp_path, dtype, value):
    prediction, label = make_ids()
    label = label.astype(dtype)
    label[3, 4] = value
    pair = write_map(tmp_path / "m.tif", prediction), write_label(tmp_path / "l.tif", label)
    with pytest.raises(LabelError, match=rf"value {value} at \(row 3, col 4\)"):
        evaluate_scenes([pair])
    if dtype == "uint64":
        return  # rasterio declares no such number
    # where it is declared, it does not count
    write_label(tmp_path / "l.tif", label, nodata=value)
    assert evaluate_scenes([pair]).ignored == (label == 255).sum() + 1
