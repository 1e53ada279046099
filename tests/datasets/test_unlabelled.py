"""Images without labels: which windows and ids, and draws that follow from seed and visit."""

import logging

import numpy as np
import pytest
import rasterio
from PIL import Image

from mmrs.datasets import MillionAIDDataset, UnlabelledRasterDataset, VisitSampler
from mmrs.datasets.cell_windows import CellWindows
from mmrs.errors import ConfigError, DataError
from mmrs.geo.windows import Window
from tests.fake_data import make_geotiff


def keep(results: dict) -> dict:
    return results


def write_picture(path, height: int, width: int, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def folder(tmp_path):
    make_geotiff(tmp_path / "images" / "a.tif", size_px=(40, 64))
    make_geotiff(tmp_path / "images" / "b.tif", size_px=(33, 20), seed=1)
    return tmp_path


def rasters(folder, **options) -> UnlabelledRasterDataset:
    settings = {"images": "images", "size": 16, "pipeline": [keep], **options}
    return UnlabelledRasterDataset(data_root=str(folder), **settings)


# cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (64, 33), (9, 50)])
def test_cells_cover_a_raster_and_windows_stay_inside_and_near(shape):
    windows = CellWindows([shape], (16, 16))
    rng, seen = np.random.default_rng(0), np.zeros(shape, dtype=bool)
    for index in range(len(windows)):
        scene, cell = windows[index]
        assert scene == 0
        seen[cell.row : cell.row + 16, cell.col : cell.col + 16] = True
        for _ in range(20):
            _, window = windows.draw(index, rng)
            assert window.height == window.width == 16
            for start, home, side in zip(window[:2], cell[:2], shape, strict=True):
                assert 0 <= start <= max(0, side - 16)
                assert abs(start - home) <= 8
    assert seen.all()


def test_cells_of_several_rasters_are_counted_on():
    windows = CellWindows([(16, 40), (32, 16)], (16, 16))
    assert len(windows) == 3 + 2
    assert [windows[i][0] for i in range(5)] == [0, 0, 0, 1, 1]
    assert [tuple(windows[i][1])[:2] for i in range(5)] == [
        *((0, 0), (0, 12), (0, 24)),
        *((0, 0), (16, 0)),
    ]


def test_neighbours_are_as_near_as_told():
    windows, rng = CellWindows([(200, 200)], (16, 16)), np.random.default_rng(0)
    home = Window(90, 90, 16, 16)
    shifts = [np.subtract(windows.near(0, home, 5, rng)[:2], 90) for _ in range(200)]
    assert np.abs(shifts).max() == 5


# rasters --------------------------------------------------------------------------------------


def test_a_sample_is_the_pixels_of_its_window_with_id_and_place(folder):
    dataset = rasters(folder)
    whole = {"a": make_geotiff(folder / "x.tif", size_px=(40, 64))}
    assert len(dataset) == 3 * 4 + 3 * 2
    sample = dataset[5]
    row, col, height, width = sample["window"]
    assert sample["img_path"].endswith("a.tif")
    expected = whole["a"][:, row : row + height, col : col + width].transpose(1, 2, 0)
    assert np.array_equal(sample["img"], expected)
    assert sample["image_id"] == 5
    assert sample["transform"][2] == pytest.approx(500_000 + 0.3 * col)
    assert sample["transform"][5] == pytest.approx(5_400_000 - 0.3 * row)
    assert sample["img_shape"] == (16, 16)
    assert "gt_seg_map" not in sample


def test_windows_depend_on_seed_sample_and_visit_alone(folder):
    def places(dataset, visits=(0, 1)) -> list:
        return [tuple(dataset[v * len(dataset) + i]["window"]) for v in visits for i in range(6)]

    first = places(rasters(folder, seed=1))
    np.random.seed(99)  # what was drawn before does not matter
    assert places(rasters(folder, seed=1)) == first
    assert places(rasters(folder, seed=1), (1,)) == first[6:]
    assert first[:6] != first[6:]
    assert places(rasters(folder, seed=2)) != first


def test_a_seeded_sample_leaves_the_generators_as_they_were(folder):
    dataset = rasters(folder, seed=1)
    np.random.seed(0)
    expected = np.random.random(3)
    np.random.seed(0)
    dataset[0]
    assert np.array_equal(np.random.random(3), expected)


def test_windows_with_little_data_are_drawn_elsewhere(tmp_path):
    make_geotiff(tmp_path / "images" / "a.tif", size_px=(32, 96), nodata=0, nodata_columns=60)
    dataset = rasters(tmp_path, min_valid_ratio=0.75, seed=0)
    for visit in range(3):
        for index in range(len(dataset)):
            sample = dataset[visit * len(dataset) + index]
            assert sample["window"][1] >= 60 - 4
            # the id is that of the cell that was looked at
            home = dataset.get_data_info(sample["image_id"])["window"]
            assert abs(home[1] - sample["window"][1]) <= 8
    left = rasters(tmp_path, min_valid_ratio=0.0, seed=0)
    assert min(left[i]["window"][1] for i in range(len(left))) < 40


def test_a_set_without_data_is_told(tmp_path):
    make_geotiff(tmp_path / "images" / "a.tif", size_px=(32, 32), nodata=0, nodata_columns=32)
    with pytest.raises(DataError, match=r"a.tif: of 100 windows none has 50% .* Fix: leave out"):
        rasters(tmp_path)[0]


def test_rasters_that_fill_little_of_a_window_are_left_out_and_told(tmp_path, monkeypatch):
    lines: list[str] = []
    log = "mmrs.datasets.unlabelled_raster.print_log"
    monkeypatch.setattr(log, lambda line, *rest: lines.append(line))
    for name, size_px in (("a", (15, 15)), ("b", (40, 40)), ("c", (9, 100))):
        make_geotiff(tmp_path / "images" / f"{name}.tif", size_px=size_px)
    dataset = rasters(tmp_path, size=20, min_valid_ratio=0.6, seed=0)
    assert len(dataset) == 4
    assert [line.partition("images/")[2] for line in lines] == [
        "a.tif (and 1 more): 15 x 15 px fill less than 60% of a window of 20 x 20; left out"
    ]
    for index in range(4):
        assert dataset[index]["img_path"].endswith("b.tif")
        assert dataset[index]["image_id"] == index
    # a part of a window is enough where it was asked for
    assert len(rasters(tmp_path, size=20, min_valid_ratio=0.3)) == 1 + 4 + 5
    with pytest.raises(DataError, match=r"a\.tif: 15 x 15 px fill less than 60% .* Fix: choose a"):
        len(rasters(tmp_path, images="images/a.tif", size=20, min_valid_ratio=0.6))


@pytest.mark.parametrize("scaling", [None, {"type": "minmax", "min": 0.0, "max": 255.0}])
def test_nothing_outside_the_area_is_seen(tmp_path, scaling):
    """The area keeps what pre-training sees apart from what is tested on later."""
    pixels = np.full((3, 64, 64), 200, dtype=np.uint8)
    pixels[:, :24, 8:40] = 100
    make_geotiff(tmp_path / "images" / "a.tif", size_px=(64, 64))
    with rasterio.open(tmp_path / "images" / "a.tif", "r+") as raster:
        raster.write(pixels)
    left, top, side = 500_000.0, 5_400_000.0, 0.3
    area = (left + 8 * side, top - 24 * side, left + 40 * side, top)
    dataset = rasters(tmp_path, area=area, min_valid_ratio=0.25, near_px=8, seed=0, scaling=scaling)
    # of 4 x 4 cells of 16 px those in 2 rows and 3 columns meet it
    assert len(dataset) == 6
    seen = set()
    for index in range(4 * len(dataset)):
        sample = dataset[index]
        for view in (sample["img"], sample["near_img"]):
            seen |= set(np.unique(np.round(view * (255 if scaling else 1))).tolist())
            assert (view > 0).mean() >= 0.25
    assert seen == {0, 100}


def test_near_positives_come_from_the_neighbourhood(folder):
    dataset = rasters(folder, near_px=6, seed=0)
    found = [dataset[i] for i in range(len(dataset))]
    shifts = np.array([np.subtract(s["near_window"], s["window"])[:2] for s in found])
    assert np.abs(shifts).max() <= 6
    assert (shifts != 0).any()
    assert all(s["near_img"].shape == (16, 16, 3) for s in found)
    assert "near_img" not in rasters(folder)[0]


def test_scaling_and_bands_are_those_of_training(folder):
    scaling = {"type": "minmax", "min": [0.0], "max": [255.0]}
    sample = rasters(folder, scaling=scaling, bands=[2], seed=0)[0]
    plain = rasters(folder, seed=0)[0]
    assert sample["img"].dtype == np.float32
    np.testing.assert_allclose(sample["img"][..., 0], plain["img"][..., 1] / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_valid_ratio": 2}, "UnlabelledRasterDataset.min_valid_ratio: must be 0 to 1, got 2"),
        ({"near_px": -1}, "UnlabelledRasterDataset.near_px: must be a whole number >= 0"),
        ({"seed": -1}, "UnlabelledRasterDataset.seed: must be a whole number >= 0"),
        ({"size": 0}, "size must be a whole number from 1"),
    ],
)
def test_options_out_of_range_are_told(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        rasters(folder, **options)


# Million-AID ----------------------------------------------------------------------------------


def test_images_are_divided_and_small_ones_dropped_and_counted(tmp_path, caplog):
    big = write_picture(tmp_path / "train" / "farm" / "P1.png", 45, 70)
    write_picture(tmp_path / "train" / "farm" / "P2.png", 19, 100)
    write_picture(tmp_path / "train" / "city" / "P3.png", 20, 20, seed=1)
    with caplog.at_level(logging.WARNING):
        dataset = MillionAIDDataset(data_root=str(tmp_path), size=20, pipeline=[keep])
    assert dataset.dropped_images == 1
    assert len(dataset) == 1 + 2 * 3
    samples = [dataset[i] for i in range(len(dataset))]
    assert [s["image_id"] for s in samples] == list(range(7))
    for sample in samples[1:]:
        row, col, _, _ = sample["window"]
        assert np.array_equal(sample["img"], big[row : row + 20, col : col + 20])
    assert [tuple(s["window"][:2]) for s in samples[1:]] == [
        (row, col) for row in (0, 20) for col in (0, 20, 40)
    ]


def test_scenes_without_colour_have_three_equal_bands(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    (sample,) = MillionAIDDataset(data_root=str(tmp_path), size=20, pipeline=[keep])
    assert np.array_equal(sample["img"], np.stack([pixels] * 3, axis=2))


def test_a_list_gives_the_squares_that_preparing_writes(tmp_path):
    write_picture(tmp_path / "raw" / "farm" / "P1.png", 45, 70)
    write_picture(tmp_path / "raw" / "farm" / "P2.png", 20, 19)
    searched = MillionAIDDataset(data_root=str(tmp_path / "raw"), size=20, pipeline=[keep])
    lines = [
        f"farm/P1.png\t{c}\t{r}\t{c + 20}\t{r + 20}"
        for r, c, _, _ in (searched.get_data_info(i)["window"] for i in range(len(searched)))
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    options = {"data_root": str(tmp_path), "img_root": str(tmp_path / "raw"), "size": 20}
    listed = MillionAIDDataset(ann_file="train.txt", pipeline=[keep], **options)
    assert len(listed) == len(searched) == 6
    for a, b in zip(listed, searched, strict=True):
        assert np.array_equal(a["img"], b["img"]) and a["image_id"] == b["image_id"]


def test_a_palette_is_read_as_its_colours(tmp_path):
    ids = np.random.default_rng(0).integers(0, 3, (20, 20), dtype=np.uint8)
    colours = np.array([(250, 0, 9), (0, 200, 0), (7, 8, 90)], dtype=np.uint8)
    picture = Image.fromarray(ids)
    picture.putpalette(colours.ravel().tolist())
    picture.save(tmp_path / "p.png")
    (sample,) = MillionAIDDataset(data_root=str(tmp_path), size=20, pipeline=[keep])
    assert np.array_equal(sample["img"], colours[ids])


def test_pictures_too_large_for_pillow_and_rasters_that_it_does_not_know(tmp_path, monkeypatch):
    """Million-AID's largest have 31,672 px a side, three times what Pillow opens."""
    write_picture(tmp_path / "p.png", 20, 40)
    make_geotiff(tmp_path / "r.tif", size_px=(20, 20), bands=4, dtype="uint16")
    for most in (300, 600):  # an error, a warning
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        dataset = MillionAIDDataset(data_root=str(tmp_path), size=20, pipeline=[keep])
        assert len(dataset) == 3
    assert dataset[2]["img"].shape == (20, 20, 4)


def test_linked_folders_are_searched_and_hidden_names_passed_over(tmp_path):
    write_picture(tmp_path / "elsewhere" / "farm" / "P1.png", 20, 20)
    (tmp_path / "elsewhere" / "farm" / "._P1.png").write_bytes(b"what macOS keeps")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(tmp_path / "elsewhere")
    dataset = MillionAIDDataset(data_root=str(tmp_path / "data"), size=20, pipeline=[keep])
    assert [sample["img_path"] for sample in dataset] == [
        str(tmp_path / "data" / "train" / "farm" / "P1.png")
    ]


def test_a_list_of_other_images_is_told(tmp_path):
    write_picture(tmp_path / "p.png", 30, 30)
    for box, message in (
        ("-5\t0\t15\t20", r"train\.txt: line 1 is no square \(it begins outside the image\)"),
        ("0\t15\t20\t35", r"p\.png: has 30 x 30 px, and no square at row 15, column 0 of 20"),
        ("40\t0\t60\t20", r"p\.png: has 30 x 30 px, and no square at row 0, column 40 of 20"),
    ):
        (tmp_path / "train.txt").write_text(f"p.png\t{box}\n")
        with pytest.raises(DataError, match=message):
            MillionAIDDataset(
                data_root=str(tmp_path), ann_file="train.txt", size=20, pipeline=[keep]
            )[0]
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.txt: cannot be read as text"):
        MillionAIDDataset(data_root=str(tmp_path), ann_file="train.txt", size=20)


def test_wrong_lists_and_folders_are_told(tmp_path):
    (tmp_path / "train.txt").write_text("a.png\t0\t0\t20\t19\n")
    root = str(tmp_path)
    with pytest.raises(DataError, match=r"train.txt: line 1 is no square \(not 20 x 20 px\)"):
        MillionAIDDataset(data_root=root, ann_file="train.txt", size=20)
    with pytest.raises(DataError, match="there is no such list"):
        MillionAIDDataset(data_root=root, ann_file="test.txt")
    with pytest.raises(DataError, match="there is no such folder"):
        MillionAIDDataset(data_root=root + "/none")
    write_picture(tmp_path / "p.png", 8, 8)
    with pytest.raises(DataError, match=r"no image of 400 x 400 px or more \(1 are smaller\)"):
        MillionAIDDataset(data_root=root)
    with pytest.raises(ConfigError, match=r"MillionAIDDataset.size: must be a whole number >= 1"):
        MillionAIDDataset(data_root=root, size=0)
    with pytest.raises(ConfigError, match=r"MillionAIDDataset.seed: must be a whole number >= 0"):
        MillionAIDDataset(data_root=root, seed=-1)
    (tmp_path / "q.png").write_text("no picture")
    with pytest.raises(DataError, match=r"q.png: not a raster that can be read"):
        MillionAIDDataset(data_root=root)


# the order of visits ----------------------------------------------------------------------------


def test_the_sampler_tells_the_visit_and_goes_on_where_it_is_told():
    sampler = VisitSampler(range(5), shuffle=True, seed=3)
    stream = iter(sampler)
    found = [next(stream) for _ in range(17)]
    assert [index // 5 for index in found] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 2
    for visit in range(3):
        assert sorted(i % 5 for i in found[5 * visit : 5 * visit + 5]) == list(range(5))
    resumed = VisitSampler(range(5), shuffle=True, seed=3)
    resumed.skip(11)
    stream = iter(resumed)
    assert [next(stream) for _ in range(6)] == found[11:]
    in_order = iter(VisitSampler(range(2), shuffle=False, seed=0))
    assert [next(in_order) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_two_processes_share_the_stream(monkeypatch):
    shares = []
    for rank in range(2):
        monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", lambda rank=rank: (rank, 2))
        stream = iter(VisitSampler(range(4), shuffle=True, seed=0))
        shares.append([next(stream) for _ in range(4)])
    assert sorted(shares[0] + shares[1]) == list(range(8))


def test_going_through_a_data_set_ends(folder):
    dataset = rasters(folder, seed=0)
    assert [sample["image_id"] for sample in dataset] == list(range(len(dataset)))
    assert dataset[-1]["image_id"] == len(dataset) - 1
