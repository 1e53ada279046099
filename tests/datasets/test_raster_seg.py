"""Windows of rasters as samples, against the whole arrays."""

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from mmengine.dataset import worker_init_fn
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

from mmrs.datasets import RasterSegDataset
from mmrs.errors import ConfigError, DataError, LabelError
from mmrs.geo.band_stats import compute_band_stats
from mmrs.geo.raster import to_coordinates
from tests.fake_data import make_labels, write_polygons
from tests.geo.test_raster import write_tiff

GRID = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
PLACE = {"crs": "EPSG:32633", "transform": GRID}
META = {"classes": ("field", "water", "road")}
SHAPES = {"a": (40, 50), "b": (20, 70)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two 4-band uint16 images with labels 0, 1, 2 (and 255)."""
    rng = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        (tmp_path / "img").mkdir(exist_ok=True)
        (tmp_path / "ann").mkdir(exist_ok=True)
        labels = make_labels(shape, (0, 1, 2, 255), rng)
        image = rng.integers(1, 4000, (*shape, 4)).astype(np.uint16)
        write_tiff(tmp_path / "img" / f"{name}.tif", image, **PLACE)
        write_tiff(tmp_path / "ann" / f"{name}.tif", labels[..., None], **PLACE)
    return tmp_path


def make(data: Path, **options) -> RasterSegDataset:
    settings = {
        "data_root": str(data),
        "images": "img",
        "labels": "ann",
        "metainfo": META,
        "window_sampler": {"type": "grid", "size": 16},
        "cache_dir": str(data / "cache"),
        **options,
    }
    return RasterSegDataset(**settings)


def whole(path: str | Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.moveaxis(dataset.read(), 0, -1)


def put_together(dataset: RasterSegDataset, key: str, fill: int) -> list[np.ndarray]:
    """A key of all samples on the canvas of each raster; the later sample wins."""
    canvas = {}
    for index in range(len(dataset)):
        sample = dataset.load_sample(index)
        row, col, height, width = sample["window"]
        if sample["img_path"] not in canvas:
            shape = tuple(side + 64 for side in sample["raster_shape"])
            canvas[sample["img_path"]] = (
                np.full((*shape, *sample[key].shape[2:]), fill, sample[key].dtype),
                sample["raster_shape"],
            )
        part = canvas[sample["img_path"]][0][row : row + height, col : col + width]
        part[:] = sample[key]
    return [array[: shape[0], : shape[1]] for array, shape in canvas.values()]


def test_it_is_a_data_set_of_mmseg_and_windows_put_together_are_the_rasters(data):
    dataset = make(data)
    assert isinstance(dataset, BaseSegDataset)
    assert DATASETS.get("mmrs.RasterSegDataset") is RasterSegDataset
    assert len(dataset) == 3 * 4 + 2 * 5
    for name, image, labels in zip(
        SHAPES, put_together(dataset, "img", 0), put_together(dataset, "gt_seg_map", 7), strict=True
    ):
        assert image.dtype == np.float32 and labels.dtype == np.uint8
        np.testing.assert_array_equal(image, whole(data / "img" / f"{name}.tif"))
        np.testing.assert_array_equal(labels, whole(data / "ann" / f"{name}.tif")[..., 0])


def test_a_sample_says_what_it_is(data):
    dataset = make(data, bands=[4, 2])
    info = dataset.load_sample(5)
    row, col = info["window"][:2]
    assert info["window"] == (16, 16, 16, 16) and info["img_path"] == str(data / "img" / "a.tif")
    assert Affine(*info["transform"]) == Affine(0.5, 0, 500_000 + col / 2, 0, -0.5, 5e6 - row / 2)
    assert (info["crs"], info["gsd_m"], info["band_names"]) == ("EPSG:32633", 0.5, ("", ""))
    assert info["img"].shape == (16, 16, 2) and info["seg_fields"] == ["gt_seg_map"]
    image = whole(data / "img" / "a.tif")[16:32, 16:32]
    np.testing.assert_array_equal(info["img"], image[..., [3, 1]])
    assert info["img_shape"] == info["ori_shape"] == (16, 16)


def test_bytes_stay_bytes_and_the_packed_sample_holds_the_metas(data):
    write_tiff(data / "img" / "a.tif", np.full((40, 50, 3), 9, np.uint8), **PLACE)
    pack = {"type": "mmseg.PackSegInputs", "meta_keys": ("img_path", "window", "transform", "crs")}
    dataset = make(data, images="img/a.tif", labels="ann/a.tif", pipeline=[pack])
    packed = dataset[0]
    assert packed["inputs"].dtype == torch.uint8 and packed["inputs"].shape == (3, 16, 16)
    assert packed["data_samples"].window == (0, 0, 16, 16)
    assert packed["data_samples"].gt_sem_seg.data.shape == (1, 16, 16)


@pytest.mark.parametrize("kind", ["minmax", "percentile", "meanstd"])
def test_bands_are_scaled_by_the_training_images(data, kind):
    options = {"type": kind, "images": "img/b.tif"}
    dataset = make(data, bands=[2, 4], scaling=options, images="img/a.tif", labels="ann/a.tif")
    stats = compute_band_stats([data / "img" / "b.tif"], bands=[2, 4])
    low, high = {
        "minmax": (stats.minimum, stats.maximum),
        "percentile": (stats.percentile(2), stats.percentile(98)),
        "meanstd": (stats.mean, np.add(stats.mean, stats.std)),
    }[kind]
    image = whole(data / "img" / "a.tif")[..., [1, 3]].astype(float)
    expected = (image - low) / np.subtract(high, low)
    if kind != "meanstd":
        expected = expected.clip(0, 1)
    (found,) = put_together(dataset, "img", 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_pixels_without_data_are_zero_and_ignored(data, scaled, caplog):
    image = np.random.default_rng(1).normal(5, 1, (40, 50, 2)).astype(np.float32)
    image[:3] = -9999
    image[5, 6:9, 1] = np.nan
    write_tiff(data / "img" / "a.tif", image, nodata=-9999, **PLACE)
    scaling = {"type": "meanstd", "images": "img/a.tif"} if scaled else None
    dataset = make(data, images="img/a.tif", labels="ann/a.tif", scaling=scaling)
    (found,), (labels,) = put_together(dataset, "img", 7), put_together(dataset, "gt_seg_map", 7)
    gap = np.zeros((40, 50), dtype=bool)
    gap[:3] = gap[5, 6:9] = True
    assert np.isfinite(found).all() and not found[gap].any() and found[~gap].all()
    stored = whole(data / "ann" / "a.tif")[..., 0]
    np.testing.assert_array_equal(labels, np.where(gap, 255, stored))
    assert dataset._told == {str(data / "img" / "a.tif")}


def test_labels_have_nodata_of_their_own(data):
    labels = np.full((40, 50, 1), 9, np.uint8)
    labels[5:] = 2
    write_tiff(data / "ann" / "a.tif", labels, nodata=9, **PLACE)
    (found,) = put_together(make(data, images="img/a.tif", labels="ann/a.tif"), "gt_seg_map", 7)
    np.testing.assert_array_equal(found, np.where(labels[..., 0] == 9, 255, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_ids_are_mapped_whatever_type_they_have(data, dtype):
    raw = make_labels((40, 50), (1, 2, 3, 100), np.random.default_rng(2)).astype(dtype)
    ids = {1: 0, 2: 1, 3: 2, 100: 255}
    if dtype in ("uint16", "int16"):
        raw[raw == 100] = 1000
        ids = {1: 0, 2: 1, 3: 2, 1000: 255}
    write_tiff(data / "ann" / "a.tif", raw[..., None], **PLACE)
    options = {"images": "img/a.tif", "labels": "ann/a.tif"}
    expected = np.vectorize(ids.get)(raw)
    (found,) = put_together(make(data, **options, label_map=ids), "gt_seg_map", 7)
    np.testing.assert_array_equal(found, expected)
    if dtype == "uint8":
        raw[raw == 100] = 0
        write_tiff(data / "ann" / "a.tif", raw[..., None], **PLACE)
        (found,) = put_together(make(data, **options, reduce_zero_label=True), "gt_seg_map", 7)
        np.testing.assert_array_equal(found, expected)


def test_colours_become_ids(data):
    ids = make_labels((40, 50), (0, 1, 2, 3), np.random.default_rng(2))
    colors = [(0, 0, 0), (255, 255, 0), (0, 0, 150), (1, 2, 3)]
    write_tiff(data / "ann" / "a.tif", np.array(colors, np.uint8)[ids], **PLACE)
    options = {"images": "img/a.tif", "labels": "ann/a.tif", "label_colors": colors[:3]}
    dataset = make(data, **options, label_ignore_colors=colors[3:])
    (found,) = put_together(dataset, "gt_seg_map", 7)
    np.testing.assert_array_equal(found, np.where(ids == 3, 255, ids))
    with pytest.raises(LabelError, match=r"the first is \(1, 2, 3\)"):
        put_together(make(data, **options), "gt_seg_map", 7)
    with pytest.raises(LabelError, match=r"a colour picture \(3 channels"):
        make(data, images="img/a.tif", labels="ann/a.tif").load_sample(0)


def test_a_label_that_is_no_class_is_told_with_its_place_in_the_file(data):
    labels = np.zeros((40, 50, 1), np.int16)
    labels[33, 41] = 7
    write_tiff(data / "ann" / "a.tif", labels, **PLACE)
    dataset = make(data, images="img/a.tif", labels="ann/a.tif")
    path = data / "ann" / "a.tif"
    with pytest.raises(LabelError) as caught:
        put_together(dataset, "img", 0)
    line = f"{path}: value 7 at (row 33, col 41), but classes has 3 (0-2). Fix: map it"
    assert str(caught.value).startswith(line)
    labels[33, 41] = -1
    write_tiff(path, labels, **PLACE)
    with pytest.raises(LabelError, match=r"value -1 at \(row 33, col 41"):
        put_together(make(data, images="img/a.tif", labels="ann/a.tif"), "img", 0)
    write_tiff(path, labels + np.float32(0.5), **PLACE)
    with pytest.raises(LabelError, match=r"value 0\.5 at .row 0, col 0. is no class id"):
        make(data, images="img/a.tif", labels="ann/a.tif").load_sample(0)


def test_polygons_are_burnt_and_the_rest_is_the_background(data):
    boxes = [shapely.box(*_corners(4, 3, 20, 30)), shapely.box(*_corners(15, 20, 40, 33))]
    kinds = {"kind": ["lake", "track"]}
    write_polygons(data / "l.gpkg", boxes, kinds, "EPSG:32633")
    options = {"labels": "l.gpkg", "attribute": "kind", "class_of": {"lake": 1, "track": 2}}
    with pytest.raises(ConfigError, match="nothing says what pixels in no polygon are"):
        make(data, **options)
    for background in (0, 255):
        dataset = make(data, **options, background=background)
        found = put_together(dataset, "gt_seg_map", 7)
        for labels in found:
            expected = np.full(labels.shape, background)
            expected[3:30, 4:20] = 1
            expected[20:33, 15:40] = 2
            np.testing.assert_array_equal(labels, expected)


def test_polygons_that_meet_no_image_are_told(data, caplog, capfd):
    options = {"labels": "l.geojson", "background": 0}
    # metres, where GeoJSON counts in degrees
    write_polygons(data / "l.geojson", [shapely.box(50, 45, 51, 46)], {}, "EPSG:4326")
    with pytest.raises(DataError, match=r"l\.geojson: its polygons meet no image.* Fix: check its"):
        make(data, **options)
    # one image without any is nothing to tell
    write_polygons(data / "l.gpkg", [shapely.box(*_corners(0, 25, 9, 30))], {}, "EPSG:32633")
    assert len(make(data, labels="l.gpkg", background=0)) == 3 * 4 + 2 * 5
    # none at all, and images between some, may be meant: that is only told
    (data / "l.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    labels = make(data, **options).load_sample(0)["gt_seg_map"]
    assert (labels == 0).all()
    around = [shapely.box(*_corners(x, y, x + 9, y + 9)) for x, y in ((-500, -500), (900, 900))]
    write_polygons(data / "l.gpkg", around, {}, "EPSG:32633")
    make(data, labels="l.gpkg", background=1)
    told = caplog.text + capfd.readouterr().out
    for background in (0, 1):
        assert f"no polygons on the images: all pixels are background ({background})" in told


def test_parts_of_an_area_that_overlap_leave_no_hole(data):
    parts = [shapely.box(*_corners(4, 3, 20, 30)), shapely.box(*_corners(10, 10, 30, 36))]
    write_polygons(data / "area.gpkg", [shapely.MultiPolygon(parts)], {}, "EPSG:32633")
    dataset = make(data, images="img/a.tif", labels="ann/a.tif", area="area.gpkg")
    (found,) = put_together(dataset, "gt_seg_map", 255)
    expected = np.full(found.shape, 255)
    labels = whole(data / "ann" / "a.tif")[..., 0]
    for rows, cols in ((slice(3, 30), slice(4, 20)), (slice(10, 36), slice(10, 30))):
        expected[rows, cols] = labels[rows, cols]
    np.testing.assert_array_equal(found, expected)


def _corners(left: int, top: int, right: int, bottom: int) -> tuple[float, ...]:
    x0, y0 = to_coordinates(GRID, left, bottom)
    x1, y1 = to_coordinates(GRID, right, top)
    return x0, y0, x1, y1


def test_labels_on_another_grid_are_refused_or_aligned(data):
    shifted = GRID @ Affine.translation(10, 0)
    labels = make_labels((40, 50), (0, 1, 2), np.random.default_rng(3))
    write_tiff(data / "ann" / "a.tif", labels[..., None], crs="EPSG:32633", transform=shifted)
    options = {"images": "img/a.tif", "labels": "ann/a.tif"}
    with pytest.raises(DataError) as caught:
        make(data, **options)
    line = str(caught.value)
    assert "500005" in line and "500000" in line and "set align_labels=True" in line
    (found,) = put_together(make(data, **options, align_labels=True), "gt_seg_map", 7)
    np.testing.assert_array_equal(found[:, 10:], labels[:, :40])
    assert (found[:, :10] == 255).all()


@pytest.mark.parametrize("by_file", [False, True])
def test_only_the_area_counts(data, by_file):
    area = list(_corners(10, 5, 35, 30))
    if by_file:
        write_polygons(data / "area.gpkg", [shapely.box(*area)], {}, "EPSG:32633")
        area = "area.gpkg"
    dataset = make(data, area=area)
    # starts 0 16 24 x 0 16 32 34 meet rows 5-30 and columns 10-35, and 0 4 x 0 16 32
    assert len(dataset) == 3 * 4 + 2 * 3
    for name, labels in zip(SHAPES, put_together(dataset, "gt_seg_map", 255), strict=True):
        expected = np.full(labels.shape, 255)
        inside = (slice(5, 30), slice(10, 35))
        expected[inside] = whole(data / "ann" / f"{name}.tif")[..., 0][inside]
        np.testing.assert_array_equal(labels, expected)
    with pytest.raises(DataError, match="no image meets the area"):
        make(data, area=[0, 0, 1, 1])


def test_each_pixel_is_judged_once_where_windows_overlap(data):
    dataset = make(
        data, window_sampler={"type": "grid", "size": 16, "stride": 10, "count_once": True}
    )
    judged = sum((dataset.load_sample(i)["gt_seg_map"] != 255).sum() for i in range(len(dataset)))
    stored = [whole(data / "ann" / f"{name}.tif") for name in SHAPES]
    assert judged == sum((labels != 255).sum() for labels in stored)
    # metrics print it
    assert dataset.metainfo["count_once"] and "count_once" not in make(data).metainfo


def test_a_subset_is_one_of_images_with_windows_of_its_own(data):
    dataset = make(data)
    second = [i for i in range(len(dataset)) if "b.tif" in dataset.load_sample(i)["img_path"]]
    subset = dataset.get_subset([1])
    assert len(subset) == len(second) == 2 * 5 and len(dataset) == 3 * 4 + 2 * 5
    for index, same in enumerate(second):
        np.testing.assert_array_equal(
            subset.load_sample(index)["img"], dataset.load_sample(same)["img"]
        )
    dataset.get_subset_([1])
    assert len(dataset) == 2 * 5 and "b.tif" in dataset.load_sample(0)["img_path"]


def test_a_plan_that_failed_is_made_again(data):
    dataset = make(data, area="area.gpkg", lazy_init=True)
    for _ in range(2):
        with pytest.raises(DataError, match=r"area\.gpkg: no such file"):
            len(dataset)
    write_polygons(data / "area.gpkg", [shapely.box(*_corners(0, 0, 3, 3))], {}, "EPSG:32633")
    assert len(dataset) == 2


def test_balanced_windows_and_weights_follow_the_pixels(data):
    labels = np.zeros((40, 50, 1), np.uint8)
    labels[10:13, 40:44] = 2
    write_tiff(data / "ann" / "a.tif", labels, **PLACE)
    options = {"images": "img/a.tif", "labels": "ann/a.tif"}
    sampler = {"type": "balanced", "size": 8, "length": 300}
    dataset = make(data, **options, window_sampler=sampler)
    assert dataset.frequency_index().totals.tolist() == [40 * 50 - 12, 0, 12]
    (kept,) = (data / "cache").iterdir()
    stamp = kept.stat().st_mtime_ns
    with_class = [(dataset.load_sample(i)["gt_seg_map"] == 2).any() for i in range(300)]
    assert np.mean(with_class) > 0.3
    weights = make(data, **options, window_sampler=sampler).class_weights()
    assert kept.stat().st_mtime_ns == stamp
    assert weights[1] == 0 and weights[2] / weights[0] == pytest.approx((2000 - 12) / 12)
    with pytest.raises(ConfigError, match=r"window_sampler\.type='balanced' needs labels"):
        make(data, labels=None, window_sampler=sampler)


def test_images_alone_need_no_labels(data):
    sample = make(data, labels=None).load_sample(0)
    assert "gt_seg_map" not in sample and "seg_map_path" not in sample


def test_files_that_do_not_fit_each_other_are_told(data):
    (data / "ann" / "b.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images have no label: b\.tif"):
        make(data)
    for image, message in (
        (np.zeros((20, 70, 3), np.uint16), r"3 bands of uint16, but .*a\.tif has 4 of uint16"),
        (np.zeros((20, 70, 4), np.uint8), r"4 bands of uint8, but .*a\.tif has 4 of uint16"),
    ):
        write_tiff(data / "img" / "b.tif", image, **PLACE)
        with pytest.raises(DataError, match=message):
            make(data, labels=None)
    with pytest.raises(DataError, match=r"it has 4 bands of uint16, but bands \[1, 5\] are asked"):
        make(data, images="img/a.tif", labels=None, bands=[1, 5])
    write_tiff(data / "img" / "b.tif", np.zeros((9, 9, 1), np.int32), **PLACE)
    with pytest.raises(DataError, match="pixels of int32 do not fit into float32 unscaled"):
        make(data, images="img/b.tif", labels=None)
    with pytest.raises(ConfigError, match="no class names"):
        make(data, metainfo=None)
    with pytest.raises(ConfigError, match="reduce_zero_label and label_map would both"):
        make(data, reduce_zero_label=True, label_map={1: 0})


def test_a_raster_that_points_elsewhere_is_not_opened(data):
    for target in ("/etc/hostname", "http://127.0.0.1:9/a.tif"):
        (data / "img" / "a.tif").write_text(
            '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
            f"<SimpleSource><SourceFilename>{target}</SourceFilename></SimpleSource>"
            "</VRTRasterBand></VRTDataset>"
        )
        with pytest.raises(
            DataError, match=r"a\.tif: this VRT is not opened: its source"
        ) as caught:
            make(data)
        assert "\n" not in str(caught.value)


def test_a_damaged_block_is_told_when_it_is_read(data):
    path = data / "img" / "a.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    dataset = make(data, images="img/a.tif", labels="ann/a.tif")
    with pytest.raises(DataError, match=r"a\.tif: cannot be read at rows \d+ to \d+"):
        put_together(dataset, "img", 0)


def test_strips_that_are_slow_are_told(data, caplog, capfd):
    wide = np.zeros((4, 1200, 4), np.uint16)
    write_tiff(data / "img" / "w.tif", wide, compress="deflate", **PLACE)
    make(data, images="img/w.tif", labels=None)
    assert "deflate in strips of" in capfd.readouterr().out + caplog.text


def test_huge_sparse_rasters_are_planned_and_read_by_windows(data):
    with rasterio.open(
        *(data / "img" / "huge.tif", "w"),
        **{"driver": "GTiff", "height": 100_000, "width": 100_000, "count": 1, "dtype": "uint8"},
        **{"tiled": True, "sparse_ok": True, "bigtiff": "yes"},
        **PLACE,
    ):
        pass
    dataset = make(data, images="img/huge.tif", labels=None)
    assert len(dataset) == (100_000 // 16) ** 2
    assert dataset.load_sample(len(dataset) - 1)["window"][:2] == (99_984, 99_984)


def labels_of(dataset: RasterSegDataset, queue) -> None:
    queue.put([dataset.load_sample(i)["gt_seg_map"].sum(dtype=int) for i in range(4)])


def test_a_forked_and_a_pickled_one_read_what_it_reads(data):
    write_polygons(data / "l.gpkg", [shapely.box(*_corners(4, 3, 20, 30))], {}, "EPSG:32633")
    scaling = {"type": "minmax", "images": "img"}
    dataset = make(data, labels="l.gpkg", background=0, scaling=scaling)
    expected = [dataset.load_sample(i)["gt_seg_map"].sum(dtype=int) for i in range(4)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=labels_of, args=(dataset, queue))
    child.start()
    assert queue.get(timeout=120) == expected
    child.join(60)
    assert child.exitcode == 0
    copy = pickle.loads(pickle.dumps(dataset))
    assert [copy.load_sample(i)["gt_seg_map"].sum(dtype=int) for i in range(4)] == expected
    np.testing.assert_array_equal(copy.load_sample(3)["img"], dataset.load_sample(3)["img"])


def test_nothing_is_open_after_it_is_made(data):
    dataset = make(data, window_sampler={"type": "balanced", "size": 16})
    assert not dataset.reader._open
    assert not pickle.loads(pickle.dumps(dataset)).reader._open


def windows_of(batch: list) -> list:
    return [sample["window"] for sample in batch]


def test_workers_draw_windows_of_their_own_anew_in_every_epoch(data):
    dataset = make(data, window_sampler={"type": "random", "size": 8, "length": 12})

    def seed(worker: int) -> None:
        worker_init_fn(worker, num_workers=2, rank=0, seed=0)

    def epochs() -> list:
        torch.manual_seed(0)
        loader = DataLoader(
            dataset, batch_size=2, num_workers=2, collate_fn=windows_of, worker_init_fn=seed
        )
        return [[window for batch in loader for window in batch] for _ in range(2)]

    first, second = epochs()
    assert len(first) == 12 and len(set(first) & set(second)) < 4
    assert first[0:2] != first[2:4]  # two workers
    assert [first, second] == epochs()


@pytest.mark.skipif("MMRS_LONG_TESTS" not in os.environ, reason="set MMRS_LONG_TESTS=1: a minute")
def test_memory_stays_flat_over_10000_windows(data):
    """A row of images, so that files are closed and opened, polygons and area included.

    Measured over 30,000 windows: 893.0 MB resident (most of it PyTorch), one step of 7.3 MB after
    some 5,000 (a table of the interpreter that doubles once: 3.7 MB go back, 11 are mapped), and
    not a page from there on.
    """
    rng = np.random.default_rng(0)
    (data / "many").mkdir()
    for index in range(20):
        image = rng.integers(0, 9, (256, 256, 3), dtype=np.uint8)
        options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        write_tiff(data / "many" / f"{index}.tif", image, nodata=0, **options, **PLACE)
    write_polygons(data / "l.gpkg", [shapely.box(*_corners(9, 9, 200, 150))], {}, "EPSG:32633")
    dataset = make(
        data,
        images="many",
        labels="l.gpkg",
        background=0,
        area=list(_corners(0, 0, 240, 240)),
        scaling={"type": "meanstd", "images": "many/0.tif"},
        window_sampler={"type": "random", "size": 32, "length": 17_000},
        max_open_files=4,
    )
    page = os.sysconf("SC_PAGE_SIZE")
    used = []
    for index in range(len(dataset)):
        dataset.load_sample(index)
        if index >= 1000 and index % 100 == 0:
            used.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20)
    last = used[-80:]
    slope = np.polyfit(np.arange(len(last)) / 10, last, 1)[0]  # MB per 1,000 windows
    print(f"resident: {used[0]:.1f} MB, then {used[-1]:.1f}; {slope:.3f} MB per 1,000 at the end")
    assert used[-1] - used[0] < 16
    assert slope < 0.1


def test_unpacked_images_give_the_same_samples(data):
    plain, unpacked = make(data), make(data, unpack=True)
    for index in range(0, len(plain), 5):
        np.testing.assert_array_equal(
            unpacked.load_sample(index)["img"], plain.load_sample(index)["img"]
        )
    assert len(list((data / "cache").glob("pixels-*.npy"))) == 2


def test_counts_are_made_anew_when_classes_or_the_area_change(data):
    box = [shapely.box(*_corners(0, 0, 20, 20))]
    options = {"images": "img/a.tif", "labels": "l.shp", "attribute": "id", "background": 0}
    totals = []
    for label, right in ((1, 40), (2, 40), (2, 30)):
        write_polygons(data / "l.shp", box, {"id": [label]}, "EPSG:32633")
        area = [shapely.box(*_corners(0, 0, right, 40))]
        write_polygons(data / "area.gpkg", area, {"width": [right]}, "EPSG:32633")
        dataset = make(data, **options, area="area.gpkg")
        totals.append(dataset.frequency_index().totals.tolist())
    assert totals == [[1200, 400, 0], [1200, 0, 400], [800, 0, 400]]
