"""Your own data: every encoding of labels gives the same ids, or one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rasterio.crs import CRS

from mmrs.apis.check_dataset import check_dataset
from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.command import parse_label_map, parse_palette
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.runner import prepare
from mmrs.errors import DataError, LabelError, MmrsError
from mmrs.geo.raster import Raster, allow_missing_georeference
from tests.apis.prepare import archives
from tests.fake_data import make_image, make_labels, read_png

HERE = RunOptions(workers=0)
UTM = CRS.from_epsg(32633)
COLOURS = np.array([(0, 0, 0), (100, 100, 100), (0, 125, 0)], np.uint8)
PALETTE = parse_palette(["road=0,0,0", "house=100,100,100", "tree=0,125,0"])


def silent(*_: object) -> None:
    """Tell nobody."""


def run(source: Path, out: Path, **options) -> dict:
    return prepare("generic", source, out, Options(**options), HERE, tell=silent)


def make_pairs(
    root: Path, encode, *, count: int = 3, ids=(0, 1, 2), size=(16, 20), folders=("images", "masks")
) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    truth = []
    for index in range(count):
        labels = make_labels(size, ids, rng)
        truth.append(labels)
        archives.write_files(
            root,
            {
                f"{folders[0]}/t{index}.jpg": archives.jpg(make_image(labels, rng)),
                f"{folders[1]}/t{index}.png": encode(labels),
            },
        )
    return truth


def check_labels(out: Path, truth: list[np.ndarray]) -> None:
    found = {path.stem: read_png(path) for path in out.glob("ann_dir/*/*.png")}
    assert sorted(found) == [f"t{index}" for index in range(len(truth))]
    for index, labels in enumerate(truth):
        np.testing.assert_array_equal(found[f"t{index}"], labels)


@pytest.mark.parametrize(
    ("encode", "options"),
    [
        (archives.png, {}),
        (lambda labels: archives.png(labels, COLOURS), {}),
        (lambda labels: archives.png(COLOURS[labels]), {"palette": PALETTE}),
        (lambda labels: archives.png(COLOURS[::-1][2 - labels]), {"palette": PALETTE}),
        (lambda labels: archives.png(2 - labels, COLOURS[::-1]), {"palette": PALETTE}),
        (
            lambda labels: archives.png(np.dstack([COLOURS[labels], labels * 0 + 255])),
            {"palette": PALETTE},
        ),
        (
            lambda labels: archives.png(COLOURS[labels] + np.uint8(4)),
            {"palette": PALETTE, "tolerance": 4},
        ),
        (
            lambda labels: archives.png(labels * 40 + 40),
            {"label_map": parse_label_map(["40:0", "80:1", "120:2"])},
        ),
        (lambda labels: archives.tif(labels.astype(np.int16)), {}),
    ],
    ids=["ids", "palette", "colours", "colours2", "shuffled palette", "rgba", "noise", "map", "16"],
)
def test_every_encoding_gives_the_same_ids(tmp_path: Path, encode, options: dict) -> None:
    truth = make_pairs(tmp_path / "é 中 s", encode)
    run(tmp_path / "é 中 s", tmp_path / "out é", classes=None, **options)
    check_labels(tmp_path / "out é", truth)


def test_masks_of_0_and_255_are_mapped_and_the_user_is_told(tmp_path: Path) -> None:
    truth = make_pairs(tmp_path / "s", lambda labels: archives.png(labels * 255), ids=(0, 1))
    told: list[str] = []
    prepare("generic", tmp_path / "s", tmp_path / "o", Options(), HERE, tell=told.append)
    assert any("255 becomes class 1 (--label-map 255:1" in line for line in told)
    check_labels(tmp_path / "o", truth)
    manifest = run(tmp_path / "s", tmp_path / "p", label_map=((255, 255),))
    assert set(manifest["splits"]["train"]["class_pixels"]) == {"0", "255"}


def test_anti_aliased_masks_need_a_threshold(tmp_path: Path) -> None:
    source = tmp_path / "s"
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (16, 1))
    image = archives.jpg(np.zeros((16, 25, 3), np.uint8))
    archives.write_files(source, {"images/t0.jpg": image, "masks/t0.png": archives.png(ramp)})
    with pytest.raises(LabelError, match=r"25 values from 0 to 240.*--threshold 128"):
        run(source, tmp_path / "o")
    run(source, tmp_path / "o", threshold=128)
    check_labels(tmp_path / "o", [(ramp >= 128).astype(np.uint8)])


def test_grey_masks_of_three_bands_take_a_threshold(tmp_path: Path) -> None:
    truth = make_pairs(
        tmp_path / "s", lambda labels: archives.png(np.dstack([labels * np.uint8(200)] * 3)),
        ids=(0, 1),
    )  # fmt: skip
    run(tmp_path / "s", tmp_path / "o", threshold=128)
    check_labels(tmp_path / "o", truth)


def test_binary_masks_of_two_kinds_are_asked_about(tmp_path: Path) -> None:
    truth = make_pairs(tmp_path / "s", archives.png, ids=(0, 1))
    with_255 = archives.png(truth[1] * 255)
    archives.write_files(tmp_path / "s", {"masks/t1.png": with_255})
    with pytest.raises(LabelError, match=r"t1\.png: it marks by 255 where .* 1, .*masks/t0\.png"):
        run(tmp_path / "s", tmp_path / "o")
    run(tmp_path / "s", tmp_path / "o", label_map=((255, 1),))
    check_labels(tmp_path / "o", truth)
    run(tmp_path / "s", tmp_path / "p", label_map=((255, 255),))
    check_labels(tmp_path / "p", [truth[0], truth[1] * 255, truth[2]])


@pytest.mark.parametrize("nodata", [2, 200, -7])
def test_what_labels_declare_as_nodata_is_ignored_and_told(tmp_path: Path, nodata: int) -> None:
    def encode(labels: np.ndarray) -> bytes:
        wide = labels.astype(np.int16)
        return archives.tif(np.where(wide == 2, nodata, wide).astype(np.int16), nodata=nodata)

    truth = make_pairs(tmp_path / "s", encode)
    manifest = run(tmp_path / "s", tmp_path / "o")
    assert any(f"3 label files declare {nodata} as nodata" in note for note in manifest["notes"])
    assert manifest["classes"] == {"0": "class_0", "1": "class_1"}
    check_labels(tmp_path / "o", [np.where(one == 2, 255, one) for one in truth])
    run(tmp_path / "s", tmp_path / "p", label_map=((nodata, 2),))
    check_labels(tmp_path / "p", truth)
    run(tmp_path / "s", tmp_path / "q", threshold=1)
    check_labels(tmp_path / "q", [np.where(one == 2, 255, one) for one in truth])


def test_unknown_colours_count_once_where_tiles_overlap(tmp_path: Path) -> None:
    def encode(labels: np.ndarray) -> bytes:
        colours = COLOURS[labels].copy()
        colours[8, 9] = 1, 2, 3
        return archives.png(colours)

    make_pairs(tmp_path / "s", encode)
    manifest = run(tmp_path / "s", tmp_path / "o", palette=PALETTE, tile=12, stride=2)
    assert [image["unknown_colours"] for image in manifest["images"]] == [{"#010203": 1}] * 3
    assert manifest["unknown_pixels"] == 3


def test_values_that_are_not_finite_count_once_where_tiles_overlap(tmp_path: Path) -> None:
    pixels = np.ones((16, 20, 1), np.float32)
    pixels[8, 9] = np.nan
    label = archives.png(np.zeros((16, 20), np.uint8))
    files = {"images/a.tif": archives.tif(pixels), "masks/a.png": label}
    archives.write_files(tmp_path / "s", files)
    manifest = run(tmp_path / "s", tmp_path / "o", tile=12, stride=2)
    assert manifest["images"][0]["undeclared_nan_pixels"] == 1


@pytest.mark.parametrize(
    ("encode", "options", "told"),
    [
        (
            lambda labels: archives.png(COLOURS[labels]),
            {},
            r"masks/t0\.png: labels are colours, 3 of them: .*100,100,100.*--palette NAME=R,G,B",
        ),
        (
            lambda labels: archives.png(COLOURS[labels]),
            {"palette": PALETTE[:2]},
            r"masks/t\d\.png: \d+ of 320 pixels \(.*colours of no class: 0,125,0 \(\d+ px\)",
        ),
        (
            lambda labels: archives.png(labels + 1),
            {},
            r"labels hold 1, 2, 3, and ids count from 0.*--label-map 0:255 1:0 2:1 3:2",
        ),
        (
            lambda labels: archives.png(labels * np.uint8(100)),
            {},
            r"labels hold 0, 100, 200, and ids count from 0.*--label-map 0:0 100:1 200:2",
        ),
        (
            archives.png,
            {"classes": ("a", "b")},
            r"labels hold 0, 1, 2, but 2 classes are named \(0-1\)",
        ),
        (
            archives.png,
            {"label_map": ((0, 1),), "classes": ("a", "b")},
            r"masks/t0\.png: value 2 at \(row \d+, col \d+\), but ids are 0-1",
        ),
        (
            lambda labels: archives.tif(labels + np.float32(0.5)),
            {"classes": ("a", "b", "c")},
            r"masks/t0\.png: value \d\.5 at \(row 0, col 0\) is no id",
        ),
        (
            lambda labels: archives.tif(np.where(labels == 0, np.inf, labels).astype(np.float32)),
            {"classes": ("a", "b", "c")},
            r"masks/t0\.png: value inf at \(row \d+, col \d+\) is no id",
        ),
        (
            archives.png,
            {"tile": 8, "tiles_per_side": 2},
            r"images/t0\.jpg: 16 x 20 px cannot be cut as asked: count must be >= 3",
        ),
        (
            lambda labels: archives.tif(COLOURS[labels].astype(np.uint16) * 250),
            {},
            r"masks/t0\.png: its labels are colours of uint16\. Fix: convert them to 8 bits",
        ),
        (
            lambda labels: archives.tif(COLOURS[labels].astype(np.float32)),
            {"palette": PALETTE},
            r"masks/t0\.png: its labels are colours of float32\. Fix: convert them to 8 bits",
        ),
        (
            lambda labels: archives.png(COLOURS[labels]),
            {"threshold": 128},
            r"masks/t\d\.png: has 3 bands that differ, so it is no grey picture",
        ),
        (
            lambda labels: archives.png(np.dstack([labels * np.uint8(90)] * 3)),
            {},
            r"masks/t0\.png: labels are colours, 3 of them.*--threshold 128 if they are grey",
        ),
        (lambda labels: archives.png(labels[:-1]), {}, r"masks/t0\.png: label is 15 x 20 but"),
        (lambda labels: b"no picture", {}, r"masks/t0\.png: not a raster that can be read"),
        (lambda labels: archives.png(labels)[:-40], {}, r"masks/t0\.png: ends inside the chunk"),
    ],
)
def test_labels_that_cannot_be_used_are_told_in_one_line(
    tmp_path: Path, encode, options: dict, told: str
) -> None:
    make_pairs(tmp_path / "s", encode)
    with pytest.raises(DataError, match=told) as caught:
        run(tmp_path / "s", tmp_path / "o", **options)
    assert "Fix: " in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_orphans_are_listed_and_left_out_only_on_request(tmp_path: Path) -> None:
    truth = make_pairs(tmp_path / "s", archives.png)
    (tmp_path / "s/masks/t1.png").rename(tmp_path / "s/masks/other.png")
    with pytest.raises(DataError, match=r"images/t1\.jpg\) and 1 labels no image .*other\.png"):
        run(tmp_path / "s", tmp_path / "o")
    manifest = run(tmp_path / "s", tmp_path / "o", skip_bad=True)
    assert manifest["skipped"] == {
        "images/t1.jpg": "no label",
        "masks/other.png": "label without an image",
    }
    assert len(list((tmp_path / "o").glob("ann_dir/*/*.png"))) == len(truth) - 1


def test_a_bad_file_fails_and_is_skipped_only_on_request(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s", archives.png)
    (tmp_path / "s/images/t2.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    with pytest.raises(DataError, match=r"images/t2\.jpg"):
        run(tmp_path / "s", tmp_path / "o")
    manifest = run(tmp_path / "s", tmp_path / "o", skip_bad=True)
    assert list(manifest["skipped"]) == ["images/t2.jpg"]


def test_a_run_that_skips_all_says_why(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s", lambda labels: archives.png(labels[:-1]), count=1)
    with pytest.raises(DataError, match=r"no tile at all; 1 were skipped, .*label is 15 x 20 but"):
        run(tmp_path / "s", tmp_path / "o", skip_bad=True)


@pytest.mark.parametrize(
    ("folders", "options"),
    [
        (("imgs", "gt"), {}),
        (("a.tif.d/img", "a.tif.d/label"), {}),
        (("cloudshadow", "labels"), {}),
        (("data/chips", "data/binarymasks"), {}),
        (("left", "right"), {"images": "left", "annotations": "right"}),
    ],
)
def test_folders_are_found_by_their_names(tmp_path: Path, folders, options: dict) -> None:
    truth = make_pairs(tmp_path / "s", archives.png, folders=folders)
    manifest = run(tmp_path / "s", tmp_path / "o", **options)
    assert sum(part["tiles"] for part in manifest["splits"].values()) == len(truth)


def test_folders_that_cannot_be_told_apart_are_asked_for(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s", archives.png, folders=("left", "right"))
    with pytest.raises(DataError, match="--images and --annotations"):
        run(tmp_path / "s", tmp_path / "o")


def pair_files(name: str, seed: int, folders=("images", "labels"), size=(16, 20)) -> dict:
    rng = np.random.default_rng(seed)
    labels = make_labels(size, (0, 1, 2), rng)
    return {
        f"{folders[0]}/{name}.png": archives.png(make_image(labels, rng)),
        f"{folders[1]}/{name}.png": archives.png(labels),
    }


def test_archives_of_parts_are_parts(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val")):
        content = archives.zip_bytes(pair_files("a", seed) | pair_files("b", seed + 2))
        archives.write_files(tmp_path / "s", {f"{part}.zip": content})
    manifest = run(tmp_path / "s", tmp_path / "o")
    counts = {name: len(part["images"]) for name, part in manifest["splits"].items()}
    assert counts == {"train": 2, "val": 2}


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_two_files_of_one_name_are_never_taken_for_one(tmp_path: Path, folder: str) -> None:
    files = pair_files("a", 0) | pair_files("b", 1)
    files[f"{folder}/a.bmp"] = archives.jpg(np.zeros((16, 20, 3), np.uint8))
    archives.write_files(tmp_path / "s", files)
    with pytest.raises(DataError, match=rf"{folder}/a\.bmp and {folder}/a\.png have one name"):
        run(tmp_path / "s", tmp_path / "o")


def test_images_of_two_archives_are_never_taken_for_one(tmp_path: Path) -> None:
    for seed in range(2):
        content = archives.zip_bytes(pair_files("a", seed, size=(16, 20 + 9 * seed)))
        archives.write_files(tmp_path / "s", {f"scene{seed}.zip": content})
    with pytest.raises(DataError, match=r"scene0\.zip/images/a\.png and scene1\.zip/.* one name"):
        run(tmp_path / "s", tmp_path / "o")


def test_an_archive_beside_its_unpacked_folder_counts_once(tmp_path: Path) -> None:
    files = {f"set/{name}": data for seed in range(3)
             for name, data in pair_files(f"t{seed}", seed).items()}  # fmt: skip
    archives.write_files(tmp_path / "s", files | {"set.zip": archives.zip_bytes(files)})
    assert len(run(tmp_path / "s", tmp_path / "o")["images"]) == 3


def test_a_tile_and_an_image_of_its_name_are_told_apart(tmp_path: Path) -> None:
    files = pair_files("a", 0) | pair_files("a_0_0_8_8", 1, size=(8, 8))
    archives.write_files(tmp_path / "s", files)
    with pytest.raises(DataError, match=r"images a and a_0_0_8_8 both give a tile .*a_0_0_8_8\."):
        run(tmp_path / "s", tmp_path / "o", tile=8, split_ratio=0.0)


def test_a_file_called_test_is_no_part(tmp_path: Path) -> None:
    files = pair_files("test", 0) | pair_files("train", 1) | pair_files("c", 2)
    archives.write_files(tmp_path / "s", files)
    manifest = run(tmp_path / "s", tmp_path / "o")
    assert sorted(manifest["splits"]) == ["train", "val"]
    assert sorted(image["id"] for image in manifest["images"]) == ["c", "test", "train"]


def test_nothing_that_validates_is_told(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s/training", archives.png)
    (note,) = [n for n in run(tmp_path / "s", tmp_path / "o")["notes"] if "validates" in n]
    assert "--split-ratio" in note
    manifest = run(tmp_path / "s", tmp_path / "p", split_ratio=0.34)
    assert sorted(manifest["splits"]) == ["train", "val"]
    with pytest.raises(UsageError, match=r"--group has no effect where folders .*--split-ratio"):
        run(tmp_path / "s", tmp_path / "q", group="(t)")


def test_tiles_of_an_image_are_never_divided(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s", archives.png, count=6, size=(24, 24))
    manifest = run(tmp_path / "s", tmp_path / "o", tile=16, stride=8, split_ratio=0.5)
    parts = {
        path.name.split("_")[0]: path.parent.name
        for path in (tmp_path / "o/img_dir").rglob("*.png")
    }
    assert sorted(parts.values()) == ["train"] * 3 + ["val"] * 3
    for image_id, part in parts.items():
        names = [p for p in (tmp_path / "o/img_dir").rglob(f"{image_id}_*.png")]
        assert {path.parent.name for path in names} == {part}
        assert len(names) == 4
    # an overlap counts once among the pixels and twice among the tiles
    counted = manifest["splits"]["train"]
    assert sum(counted["class_pixels"].values()) == 3 * 24 * 24
    assert sum(counted["tile_class_pixels"].values()) == 3 * 4 * 16 * 16
    other = run(tmp_path / "s", tmp_path / "p", tile=16, split_ratio=0.5, split_seed=1)
    assert other["splits"]["val"]["images"] != counted["images"]


def test_a_group_goes_to_one_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = make_labels((8, 8), (0, 1), rng)
    for scene in range(5):
        for index in range(3):
            archives.write_files(
                tmp_path / "s",
                {
                    f"images/{scene}_{index}.png": archives.png(make_image(labels, rng)),
                    f"masks/{scene}_{index}.png": archives.png(labels),
                },
            )
    # of several groups the first counts
    manifest = run(tmp_path / "s", tmp_path / "o", group=r"^(\d+)_(\d+)", split_ratio=0.4)
    scenes = {
        part: {name.split("_")[0] for name in found["images"]}
        for part, found in manifest["splits"].items()
    }
    assert len(scenes["val"]) == 2 and not scenes["val"] & scenes["train"]


def test_folders_of_parts_decide(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s/train", archives.png, count=2)
    make_pairs(tmp_path / "s/valid", archives.png, count=1)
    manifest = run(tmp_path / "s", tmp_path / "o")
    assert {name: len(part["images"]) for name, part in manifest["splits"].items()} == {
        "train": 2,
        "val": 1,
    }


def scene(root: Path, *, bands: int = 4, dtype: str = "uint16", crs: CRS | None = UTM) -> Path:
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 4000, (32, 48, bands)).astype(dtype)
    grid = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)
    content = archives.tif(pixels, transform=grid if crs else None, crs=crs)
    return archives.write_files(root, {"images/scene.tif": content})


def write_polygons(path: Path) -> Path:
    """Two houses and a wood, in degrees: columns 4 to 12, rows 8 to 16, and so on."""
    boxes = [(4, 8, 12, 16), (20, 0, 30, 6), (32, 16, 48, 32)]
    shapes = [
        shapely.box(400_000 + a / 2, 5_000_000 - d / 2, 400_000 + c / 2, 5_000_000 - b / 2)
        for a, b, c, d in boxes
    ]
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes)),
        field_data=[np.array(["house", "house", "wood"], dtype=object)],
        fields=["kind"],
        geometry_type="Polygon",
        crs="EPSG:32633",
        driver="GPKG",
    )
    return path


@pytest.mark.parametrize("tile", [0, 20])
def test_polygons_are_burnt_into_the_grid_of_their_image(tmp_path: Path, tile: int) -> None:
    scene(tmp_path / "s")
    path = write_polygons(tmp_path / "labels.gpkg")
    options = {"polygons": path, "class_field": "kind", "classes": ("house", "wood")}
    manifest = run(tmp_path / "s", tmp_path / "o", **options, tile=tile, stride=None)
    wanted = np.zeros((32, 48), np.uint8)
    wanted[8:16, 4:12] = wanted[0:6, 20:30] = 1
    wanted[16:32, 32:48] = 2
    counts = manifest["splits"]["train"]["class_pixels"]
    assert counts == {str(i): int((wanted == i).sum()) for i in range(3)}
    assert manifest["classes"] == {"0": "background", "1": "house", "2": "wood"}
    for label in (tmp_path / "o/ann_dir/train").glob("*.png"):
        left, top, right, bottom = map(int, label.stem.split("_")[1:]) if tile else (0, 0, 48, 32)
        np.testing.assert_array_equal(read_png(label), wanted[top:bottom, left:right])
        with Raster(tmp_path / f"o/img_dir/train/{label.stem}.tif") as image:
            assert (image.count, image.dtype) == (4, "uint16")
            place = image.georeference.transform
            assert (place.c, place.f) == (400_000 + left / 2, 5_000_000 - top / 2)


def test_polygons_label_images_of_one_name_in_several_folders(tmp_path: Path) -> None:
    polygons = write_polygons(tmp_path / "p.gpkg")
    for folder in ("train/images/x", "train/images/y", "val/images/x"):
        (tmp_path / "s" / folder).mkdir(parents=True)
        made = scene(tmp_path / "m") / "images/scene.tif"
        made.rename(tmp_path / "s" / folder / "scene.tif")
    archives.write_files(tmp_path / "s", {"train/labels/other.png": archives.png(np.eye(9) > 0)})
    manifest = run(tmp_path / "s", tmp_path / "o", polygons=polygons)
    assert {name: part["images"] for name, part in manifest["splits"].items()} == {
        "train": ["x__scene", "y__scene"], "val": ["val__x__scene"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"polygons": Path("none.gpkg")}, r"none\.gpkg: no such file"),
        ({"class_field": "kinds"}, r"no attribute 'kinds'; there are kind\. .*--class-field"),
        (
            {"class_field": "kind", "classes": ("house",)},
            r"'kind' holds 1 values that --classes does not name: 'wood'.*--classes house wood",
        ),
        ({"class_field": "kind"}, r"holds 2 values .* 'house', 'wood'.*--classes house wood"),
        ({"palette": PALETTE}, r"--palette has no meaning beside --polygons"),
        ({"threshold": 3}, r"--threshold has no meaning beside --polygons"),
        ({"format": "png"}, r"--format png cannot hold 4 bands of uint16"),
        (
            {"class_field": "kind", "classes": ("house", "wood", "background")},
            "a class is named twice: background, house, wood, background",
        ),
    ],
)
def test_polygons_that_cannot_be_burnt_are_told_in_words_of_the_command(
    tmp_path: Path, options: dict, told: str
) -> None:
    options = {"polygons": write_polygons(tmp_path / "p.gpkg")} | options
    with pytest.raises(MmrsError, match=told):
        run(scene(tmp_path / "s"), tmp_path / "o", **options)
    assert not (tmp_path / "o").exists()


def test_a_grid_that_drifts_away_is_another_grid(tmp_path: Path) -> None:
    # 0.4 % larger pixels: a pixel away at the far corner
    grids = [Affine(step, 0, 400_000, 0, -step, 5_000_000) for step in (0.5, 0.502)]
    image = archives.tif(np.ones((300, 300, 3), np.uint8), transform=grids[0], crs=UTM)
    label = archives.tif(np.zeros((300, 300), np.uint8), transform=grids[1], crs=UTM)
    archives.write_files(tmp_path / "s", {"images/a.tif": image, "labels/a.tif": label})
    with pytest.raises(DataError, match=r"label lies at .*0\.502.*--reproject"):
        run(tmp_path / "s", tmp_path / "o")


def test_polygons_that_lie_on_no_image_are_told(tmp_path: Path) -> None:
    polygons = write_polygons(tmp_path / "p.gpkg")
    far = scene(tmp_path / "s", crs=CRS.from_epsg(32634))
    with pytest.raises(DataError, match=r"p\.gpkg: none of its polygons lies on any image"):
        run(far, tmp_path / "o", polygons=polygons)
    assert not (tmp_path / "o").exists()


def test_an_image_without_a_place_cannot_have_polygons(tmp_path: Path) -> None:
    scene(tmp_path / "s", crs=None)
    path = write_polygons(tmp_path / "labels.gpkg")
    with pytest.raises(DataError, match=r"images/scene\.tif: has no CRS or no grid"):
        run(tmp_path / "s", tmp_path / "o", polygons=path)


def test_labels_on_another_grid_are_told_and_brought_over_on_request(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = make_labels((16, 16), (0, 1, 2), rng)
    image = make_image(labels, rng)
    grid = Affine(1, 0, 400_000, 0, -1, 5_000_000)
    half = Affine(0.5, 0, 400_000, 0, -0.5, 5_000_000)
    fine = np.kron(labels, np.ones((2, 2), np.uint8))
    source = archives.write_files(
        tmp_path / "s",
        {
            "images/t0.tif": archives.tif(image, transform=grid, crs=UTM),
            "masks/t0.tif": archives.tif(fine, transform=half, crs=UTM),
        },
    )
    with pytest.raises(DataError, match=r"label is 32 x 32 but .* or --reproject"):
        run(source, tmp_path / "o")
    run(source, tmp_path / "o", reproject=True)
    check_labels(tmp_path / "o", [labels])
    shifted = Affine(1, 0, 400_003, 0, -1, 5_000_000)
    moved = archives.tif(labels, transform=shifted, crs=UTM)
    archives.write_files(source, {"masks/t0.tif": moved})
    with pytest.raises(DataError, match=r"label lies at EPSG:32633 .*400003.*--reproject"):
        run(source, tmp_path / "p")
    run(source, tmp_path / "p", reproject=True)
    wanted = np.full_like(labels, 255)
    wanted[:, 3:] = labels[:, :-3]
    check_labels(tmp_path / "p", [wanted])


@pytest.mark.parametrize("colours", [False, True])
def test_labels_brought_over_are_those_of_the_nearest_pixel(tmp_path: Path, colours: bool) -> None:
    rng = np.random.default_rng(0)
    labels = make_labels((24, 24), (0, 1, 2), rng)
    # the image: pixels of 0.7 m from 1.9 m right and 1.3 m below the corner of the labels
    image = archives.tif(
        np.ones((30, 34, 3), np.uint8), crs=UTM,
        transform=Affine(0.7, 0, 400_001.9, 0, -0.7, 4_999_998.7),
    )  # fmt: skip
    stored = archives.tif(
        COLOURS[labels] if colours else labels, crs=UTM,
        transform=Affine(1, 0, 400_000, 0, -1, 5_000_000),
    )  # fmt: skip
    archives.write_files(tmp_path / "s", {"images/t0.tif": image, "masks/t0.tif": stored})
    options = {"palette": PALETTE} if colours else {}
    manifest = run(tmp_path / "s", tmp_path / "o", reproject=True, tile=16, stride=9, **options)
    row = np.floor(1.3 + 0.7 * (np.arange(30) + 0.5)).astype(int)
    col = np.floor(1.9 + 0.7 * (np.arange(34) + 0.5)).astype(int)
    inside = (row < 24)[:, None] & (col < 24)[None]
    assert 0 < inside.sum() < inside.size
    wanted = np.where(inside, labels[row.clip(0, 23)[:, None], col.clip(0, 23)], 255)
    (made,) = manifest["images"]
    for window, one in zip(made["windows"], made["tiles"], strict=True):
        top, left, height, width = window
        np.testing.assert_array_equal(
            read_png(tmp_path / f"o/ann_dir/train/{one['stem']}.png"),
            wanted[top : top + height, left : left + width],
        )
    assert made["unknown_pixels"] == 0


def test_pixels_without_image_data_are_ignored(tmp_path: Path) -> None:
    labels = np.ones((8, 8), np.uint8)
    pixels = np.full((8, 8, 1), 5, np.float32)
    pixels[2, 3] = np.nan
    source = archives.write_files(
        tmp_path / "s",
        {"images/t0.tif": archives.tif(pixels), "masks/t0.tif": archives.tif(labels)},
    )
    manifest = run(source, tmp_path / "o", classes=("a", "b"))
    wanted = labels.copy()
    wanted[2, 3] = 255
    check_labels(tmp_path / "o", [wanted])
    assert manifest["images"][0]["invalid_pixels"] == 1


def test_gaps_of_images_are_ignored_in_training(tmp_path: Path) -> None:
    pixels = np.ones((2, 16, 20, 4), np.float32)
    pixels[:, 3, 4:9] = np.nan
    for index in range(2):
        archives.write_files(
            tmp_path / "s",
            {
                f"images/{index}.tif": archives.tif(pixels[index]),
                f"masks/{index}.png": archives.png(np.ones((16, 20), np.uint8)),
            },
        )
    run(tmp_path / "s", tmp_path / "o", classes=("a", "b"))
    cfg = Config.fromfile(tmp_path / "o/dataset.py")
    init_default_scope("mmseg")
    from mmseg.registry import DATASETS

    sample = DATASETS.build(cfg.val_dataloader.dataset)[0]
    labels = sample["data_samples"].gt_sem_seg.data.numpy()[0]
    assert sample["inputs"].shape == (4, 16, 20)
    np.testing.assert_array_equal(labels == 255, np.isnan(pixels[0, ..., 0]))
    np.testing.assert_array_equal(sample["inputs"][0].numpy(), labels != 255)
    # one class and ignored pixels are no mask of 0 and 255
    archives.write_files(tmp_path / "s", {
        f"masks/{index}.png": archives.png(np.zeros((16, 20), np.uint8)) for index in range(2)
    })  # fmt: skip
    run(tmp_path / "s", tmp_path / "p", classes=("a", "b"))
    assert check_dataset(tmp_path / "p/dataset.py").count("error") == 0


def test_images_of_two_kinds_are_told(tmp_path: Path) -> None:
    scene(tmp_path / "s")
    three = archives.tif(np.ones((32, 48, 3), np.uint8))
    label = archives.png(np.zeros((32, 48), np.uint8))
    archives.write_files(
        tmp_path / "s",
        {"images/b.tif": three, "masks/b.png": label, "masks/scene.png": label},
    )
    with pytest.raises(DataError, match="bands of uint16"):
        run(tmp_path / "s", tmp_path / "o")


def test_bands_are_chosen_in_their_order(tmp_path: Path) -> None:
    scene(tmp_path / "s")
    label = archives.png(np.zeros((32, 48), np.uint8))
    archives.write_files(tmp_path / "s", {"masks/scene.png": label})
    run(tmp_path / "s", tmp_path / "o", bands=(4, 1), classes=("a", "b"))
    with Raster(tmp_path / "s/images/scene.tif") as raw:
        wanted = raw.read()[..., [3, 0]]
    with Raster(tmp_path / "o/img_dir/train/scene.tif") as tile:
        np.testing.assert_array_equal(tile.read(), wanted)
    with pytest.raises(DataError, match="band 5 is asked for, and it has 4"):
        run(tmp_path / "s", tmp_path / "p", bands=(5,))


def test_the_config_block_reads_the_set(tmp_path: Path) -> None:
    truth = make_pairs(tmp_path / "s", lambda labels: archives.png(COLOURS[labels]))
    out = tmp_path / "out é"
    run(tmp_path / "s", out, palette=PALETTE)
    cfg = Config.fromfile(out / "dataset.py")
    init_default_scope("mmseg")
    from mmseg.registry import DATASETS

    train = DATASETS.build(cfg.train_dataloader.dataset)
    val = DATASETS.build({**cfg.val_dataloader.dataset, "lazy_init": False})
    assert len(train) + len(val) == len(truth)
    assert train.metainfo["classes"] == ("road", "house", "tree")
    labels = train[0]["data_samples"].gt_sem_seg.data.numpy()
    assert set(np.unique(labels)) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: parse_palette(["road=1,2"]), "is not NAME=R,G,B"),
        (lambda: parse_palette(["road=1,2,256"]), "is not NAME=R,G,B"),
        (lambda: parse_label_map(["1=2"]), "is not RAW:ID"),
        (lambda: parse_label_map(["1:2", "1:3"]), "maps 1 twice"),
        (lambda: parse_label_map(["--1:2"]), "is not RAW:ID"),
        (lambda: Options(dsm="stack").check("generic", frozenset()), "--dsm has no meaning"),
        (lambda: Options(tolerance=300).check("x", frozenset({"tolerance"})), "0 to 127, got 300"),
        (lambda: Options(stride=8).tiling(tile=None), "a stride needs tiles"),
        (lambda: Options(tile=8, stride=9).tiling(tile=None), "pixels between tiles are lost"),
    ],
)
def test_options_that_mean_nothing_are_refused(call, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()


def test_a_label_map_takes_negative_values_and_commas() -> None:
    assert parse_label_map(["-1:255,1:0", "2:1"]) == ((-1, 255), (1, 0), (2, 1))


def test_a_palette_whose_colours_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    make_pairs(tmp_path / "s", lambda labels: archives.png(COLOURS[labels]))
    with pytest.raises(MmrsError, match="tolerance must be <= "):
        run(tmp_path / "s", tmp_path / "o", palette=PALETTE, tolerance=60)


def test_ignored_colours_are_known_and_no_class(tmp_path: Path) -> None:
    truth = make_pairs(tmp_path / "s", lambda labels: archives.png(COLOURS[labels]))
    palette = parse_palette(["ignore=0,0,0", "house=100,100,100", "tree=0,125,0"])
    manifest = run(tmp_path / "s", tmp_path / "o", palette=palette)
    assert manifest["unknown_pixels"] == 0
    check_labels(tmp_path / "o", [np.where(one == 0, 255, one - 1) for one in truth])


@pytest.mark.parametrize(
    ("height", "width", "block", "told"),
    [
        (400_000, 400_000, 512, "claims 400000 x 400000 px, more than 68719476736"),
        (40_000, 40_000, 39_936, "is stored in blocks of 39936 x 39936 px, 1.5 GiB each"),
    ],
)
def test_a_small_file_that_claims_to_be_huge_is_refused(
    tmp_path: Path, height: int, width: int, block: int, told: str
) -> None:
    path = tmp_path / "s/images/t0.tif"
    path.parent.mkdir(parents=True)
    with allow_missing_georeference():
        rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8",
            tiled=True, blockxsize=block, blockysize=block, sparse_ok=True, BIGTIFF="YES",
        ).close()  # fmt: skip
    archives.write_files(tmp_path / "s", {"masks/t0.png": archives.png(np.zeros((2, 2), np.uint8))})
    with pytest.raises(DataError, match=f"images/t0.tif: {told}"):
        run(tmp_path / "s", tmp_path / "o")
