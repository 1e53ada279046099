"""Each converter on a miniature of its archive: names, ids, places, splits as configs want."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmrs.apis.prepare import potsdam, vaihingen, whdld
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.registry import CONVERTERS
from mmrs.apis.prepare.runner import prepare
from mmrs.datasets import PotsdamDataset, VaihingenDataset, WHDLDDataset
from mmrs.errors import DataError, LabelError, MmrsError
from mmrs.geo.raster import Raster
from mmrs.geo.tiles import even_starts
from mmrs.geo.windows import plan_starts
from tests.apis.prepare import archives
from tests.fake_data import make_image, make_labels, read_png
from tests.fake_data import make_whdld as make_whdld_tree

ROOT = Path(__file__).parents[3]
HERE = RunOptions(workers=0)
UTM = archives.POTSDAM_UTM
PADDY_GRID = Affine(6.0, 0, 300_000, 0, -6.0, 4_000_000)


def build(config: str, root: Path, loader: str, **changes):
    """The data set of one of the project's configs, as it is, on a prepared folder."""
    init_default_scope("mmseg")
    from mmseg.registry import DATASETS

    cfg = Config.fromfile(ROOT / "configs" / "_base_" / "datasets" / config)
    return DATASETS.build({**cfg[loader].dataset, "data_root": str(root), **changes})


def silent(*_: object) -> None:
    """Tell nobody."""


def test_loveda_is_what_its_config_reads(tmp_path: Path) -> None:
    source = archives.make_loveda_zips(tmp_path / "zips é")
    manifest = prepare("loveda", source, tmp_path / "loveDA", run=HERE, tell=silent)
    for loader, count in (("train_dataloader", 4), ("val_dataloader", 4)):
        dataset = build("loveda.py", tmp_path / "loveDA", loader, pipeline=[])
        assert len(dataset) == count
    assert len(list((tmp_path / "loveDA/img_dir/test").iterdir())) == 4
    # every image is the member itself, every label its ids
    for name, members in archives.loveda_members(np.random.default_rng(0)).items():
        part = name.removesuffix(".zip").lower()
        for member, content in members.items():
            if "images_png" in member:
                file = tmp_path / "loveDA/img_dir" / part / Path(member).name
                assert file.read_bytes() == content
            else:
                (tmp_path / "raw.png").write_bytes(content)
                file = tmp_path / "loveDA/ann_dir" / part / Path(member).name
                np.testing.assert_array_equal(read_png(file), read_png(tmp_path / "raw.png"))
    assert manifest["splits"]["train"]["class_pixels"].keys() == {str(i) for i in range(8)}
    assert sum(manifest["splits"]["train"]["class_pixels"].values()) == 4 * 32 * 32
    assert {one["name"] for one in manifest["sources"]} == {"Train.zip", "Val.zip", "Test.zip"}


def test_loveda_unpacked_or_in_one_zip_gives_the_same(tmp_path: Path) -> None:
    members = archives.loveda_members(np.random.default_rng(0), per_half=1)
    archives.write_files(
        tmp_path / "folders",
        {name: data for part in members.values() for name, data in part.items()},
    )
    archives.write_files(
        tmp_path / "zips", {name: archives.zip_bytes(part) for name, part in members.items()}
    )
    found = [
        {
            name: digest
            for image in prepare("loveda", tmp_path / kind, tmp_path / f"out_{kind}", run=HERE,
                                 tell=silent)["images"]
            for tile in image["tiles"]
            for name, digest in tile["files"].items()
        }
        for kind in ("folders", "zips")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert len(found[0]) == 2 * 2 * 2 + 2


def test_loveda_without_its_training_part_or_with_a_value_of_no_class(tmp_path: Path) -> None:
    members = archives.loveda_members(np.random.default_rng(0), per_half=1)
    source = archives.write_files(tmp_path / "val", members["Val.zip"])
    with pytest.raises(DataError, match=r"holds no training images.*Fix: add Train\.zip"):
        prepare("loveda", source, tmp_path / "out", run=HERE, tell=silent)
    labels = np.full((32, 32), 3, np.uint8)
    labels[5, 6] = 9
    members["Train.zip"]["Train/Rural/masks_png/0.png"] = archives.png(labels)
    source = archives.write_files(tmp_path / "train", members["Train.zip"])
    with pytest.raises(LabelError, match=r"masks_png/0\.png: value 9 at \(row 5, col 6\)"):
        prepare("loveda", source, tmp_path / "out", run=HERE, tell=silent)
    assert not (tmp_path / "out").exists()


POTSDAM_IDS = ("2_10", "7_10", "3_13", "2_13")


@pytest.mark.parametrize("nested", [True, False])
def test_potsdam_tiles_have_the_labels_names_and_places_of_their_images(
    tmp_path: Path, nested: bool
) -> None:
    source, truth = archives.make_potsdam(tmp_path / "zips", POTSDAM_IDS, nested=nested)
    out = tmp_path / "potsdam"
    options = Options(tile=32, tiles_per_side=3, labels="both")
    manifest = prepare("potsdam", source, out, options, HERE, tell=silent)
    assert {name: part["images"] for name, part in manifest["splits"].items()} == {
        "train": ["2_10", "7_10"],
        "val": ["2_13", "3_13"],
    }
    for image_id, labels in truth.items():
        part = "val" if image_id.endswith("13") else "train"
        for row in even_starts(48, 32, 3):
            for col in even_starts(48, 32, 3):
                name = f"{part}/{image_id}_{col}_{row}_{col + 32}_{row + 32}.png"
                cut = labels[row : row + 32, col : col + 32]
                seams = archives.eroded(labels)[row : row + 32, col : col + 32]
                np.testing.assert_array_equal(read_png(out / "ann_dir" / name), cut)
                np.testing.assert_array_equal(read_png(out / "ann_dir_eroded" / name), seams)
                with Raster(out / "img_dir" / name) as tile:
                    place = tile.georeference
                assert place.crs == archives.POTSDAM_UTM
                index = POTSDAM_IDS.index(image_id)
                assert place.transform.c == pytest.approx(366_000 + 0.05 * (48 * index + col))
                assert place.transform.f == pytest.approx(5_808_000 - 0.05 * row)
    assert manifest["splits"]["train"]["tiles"] == 18
    assert sum(manifest["splits"]["train"]["class_pixels"].values()) == 2 * 48 * 48
    assert sum(manifest["splits"]["train"]["tile_class_pixels"].values()) == 18 * 32 * 32
    # the data set leaves 7_10 out, whatever the folder
    assert len(build("potsdam.py", out, "train_dataloader", pipeline=[])) == 9
    assert len(build("potsdam.py", out, "val_dataloader", pipeline=[])) == 18


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({}, {"2_Ortho_RGB", "5_Labels_all", "5_Labels_all_noBoundary"}),
        ({"imagery": "irrg", "dsm": "stack"},
         {"1_DSM", "3_Ortho_IRRG", "5_Labels_all", "5_Labels_all_noBoundary"}),
    ],
)  # fmt: skip
def test_archives_of_potsdam_that_are_not_asked_for_stay_closed(
    tmp_path: Path, options: dict, read: set
) -> None:
    source, _ = archives.make_potsdam(tmp_path / "s", ["2_10"], nested=False)
    (source / "4_Ortho_RGBIR.zip").write_bytes(b"not opened")
    manifest = prepare("potsdam", source, tmp_path / "o", Options(**options),
                       RunOptions(workers=0), tell=lambda line: None)  # fmt: skip
    assert {one["name"].removesuffix(".zip") for one in manifest["sources"]} == read


def test_potsdam_is_cut_as_the_papers_have_it() -> None:
    options = Options(tiles_per_side=13)
    plan = options.tiling(tile=512, stride=512).plan(6000, 6000)
    assert len(plan) == 169
    assert 38 * len(plan) == 6422
    assert plan[168] == (6000 - 512, 6000 - 512, 512, 512)
    assert len(Options().tiling(tile=512, stride=512).plan(6000, 6000)) == 144
    assert set(potsdam.PARTS["train"]) == {*PotsdamDataset.SPLITS["train"], "7_10"}
    assert set(potsdam.PARTS["val"]) == set(PotsdamDataset.SPLITS["val"])
    assert sum(map(len, potsdam.PARTS.values())) == 38


def test_colours_of_no_class_are_counted_or_refused_or_tolerated(tmp_path: Path) -> None:
    source, truth = archives.make_potsdam(tmp_path / "zips", ["4_12"], nested=False)
    options = {"labels": "full", "tile": 0}
    with pytest.raises(LabelError, match=r"4_12_label\.tif: 2304 of 2304 .*--tolerance 3 takes"):
        prepare("potsdam", source, tmp_path / "a", Options(**options), HERE, tell=silent)
    manifest = prepare(
        "potsdam", source, tmp_path / "b", Options(**options, tolerance=3), HERE, tell=silent
    )
    assert manifest["unknown_pixels"] == 0
    np.testing.assert_array_equal(read_png(tmp_path / "b/ann_dir/train/4_12.png"), truth["4_12"])
    manifest = prepare(
        "potsdam", source, tmp_path / "c", Options(**options, max_unknown_ratio=1), HERE,
        tell=silent,
    )  # fmt: skip
    assert manifest["unknown_pixels"] == 48 * 48
    (image,) = manifest["images"]
    assert image["unknown_colours"]["#fcfcfc"] == (truth["4_12"] == 1).sum()
    assert not read_png(tmp_path / "c/ann_dir/train/4_12.png").any()


@pytest.mark.parametrize(("imagery", "bands"), [("irrg", 3), ("rgbir", 4)])
def test_potsdam_has_other_imagery_and_a_surface_model(
    tmp_path: Path, imagery: str, bands: int
) -> None:
    source, _ = archives.make_potsdam(tmp_path / "zips", ["2_10", "3_13"])
    options = Options(imagery=imagery, dsm="stack", tile=32, stride=16)
    manifest = prepare("potsdam", source, tmp_path / "out", options, HERE, tell=silent)
    assert [image["bands"] for image in manifest["images"]] == [bands + 1] * 2
    with Raster(tmp_path / "out/img_dir/val/3_13_16_16_48_48.tif") as tile:
        assert (tile.count, tile.dtype) == (bands + 1, "float32")
        pixels = tile.read()
    # 3_13's surface model lacks the last column
    assert not pixels[:, -1, -1].any()
    assert pixels[:, -2, -1].all()


def test_vaihingen_tells_images_from_labels_of_the_same_name(tmp_path: Path) -> None:
    source, truth = archives.make_vaihingen(tmp_path / "zips", [1, 2, 11])
    out = tmp_path / "vaihingen"
    options = Options(tile=32, stride=20, labels="full")
    manifest = prepare("vaihingen", source, out, options, HERE, tell=silent)
    assert manifest["splits"]["val"]["images"] == ["area2"]
    for area, labels in truth.items():
        part = "val" if area == "area2" else "train"
        for row in plan_starts(40, 32, 20):
            for col in plan_starts(56, 32, 20):
                name = f"{part}/{area}_{col}_{row}_{col + 32}_{row + 32}.png"
                cut = labels[row : row + 32, col : col + 32]
                np.testing.assert_array_equal(read_png(out / "ann_dir" / name), cut)
                assert read_png(out / "img_dir" / name).shape == (32, 32, 3)
    assert len(build("vaihingen_ifwm.py", out, "train_dataloader", pipeline=[])) == 2 * 3
    assert len(build("vaihingen_ifwm.py", out, "test_dataloader", pipeline=[])) == 2 * 3


def test_vaihingen_takes_the_eroded_labels_first_and_knows_area_9(tmp_path: Path) -> None:
    source, truth = archives.make_vaihingen(tmp_path / "zips", [1, 2])
    told: list[str] = []
    options = Options(tile=0)
    manifest = prepare("vaihingen", source, tmp_path / "o", options, HERE, tell=told.append)
    assert not manifest["skipped"]
    assert any("labels are eroded" in line for line in told)
    np.testing.assert_array_equal(
        read_png(tmp_path / "o/ann_dir/train/area1.png"), archives.eroded(truth["area1"])
    )
    assert Options().tiling(tile=512, stride=400).plan(2000, 2500).col_starts == (
        *range(0, 1988, 400), 1988
    )  # fmt: skip
    for part, areas in vaihingen.PARTS.items():
        assert set(areas) == set(VaihingenDataset.SPLITS[part])


def test_vaihingen_of_participants_lacks_labels(tmp_path: Path) -> None:
    source, _ = archives.make_vaihingen(tmp_path / "zips", [1, 2])
    for path in source.glob("*COMPLETE*"):
        path.unlink()
    with pytest.raises(DataError, match=r"1 of 2 images have no label \(area2\).*COMPLETE\.zip"):
        prepare("vaihingen", source, tmp_path / "o", Options(tile=0), HERE, tell=silent)
    options = Options(tile=0, skip_bad=True)
    manifest = prepare("vaihingen", source, tmp_path / "o", options, HERE, tell=silent)
    assert manifest["skipped"] == {"area2": "no label"}
    assert [image["id"] for image in manifest["images"]] == ["area1"]


@pytest.mark.parametrize("encoding", ["palette", "colors", "ids", "alphabetical"])
def test_whdld_ids_follow_the_colours(tmp_path: Path, encoding: str) -> None:
    names = ["wh0001", "wh0002"]
    palette = WHDLDDataset.METAINFO["palette"]
    assert [list(colour) for colour in whdld.PALETTE] == palette
    source = tmp_path / "WHDLD"
    known = "palette" if encoding == "alphabetical" else encoding
    make_whdld_tree(source, names, palette=palette, encoding=known)
    wanted = make_whdld_tree(tmp_path / "ids", names, encoding="ids")
    if encoding == "alphabetical":
        # bare soil, building, pavement, road, vegetation, water
        order = [0, 5, 1, 3, 2, 4, 6]
        for name in names:
            labels = read_png(wanted / f"ImagesPNG/{name}.png")
            colours = np.array([(0, 0, 0), *palette], np.uint8)[order]
            stored = np.argsort(order)[labels].astype(np.uint8)
            (source / f"ImagesPNG/{name}.png").write_bytes(archives.png(stored, colours))
    prepare("whdld", source, tmp_path / "out", run=HERE, tell=silent)
    for name in names:
        np.testing.assert_array_equal(
            read_png(tmp_path / f"out/ImagesPNG/{name}.png"),
            read_png(wanted / f"ImagesPNG/{name}.png"),
        )
    dataset = build("whdld.py", tmp_path / "out", "train_dataloader", split="all", pipeline=[])
    assert len(dataset) == 2


def test_whu_building_becomes_0_and_1(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members = {}
    for part in ("train", "val", "test"):
        labels = make_labels((16, 16), (0, 255), rng)
        members[f"{part}/image/1.tif"] = archives.tif(make_image(labels, rng))
        members[f"{part}/label/1.tif"] = archives.tif(labels)
    head = "3. The cropped image tiles and raster labels"
    content = archives.zip_bytes({f"{head}/{name}": data for name, data in members.items()})
    source = archives.write_files(tmp_path / "s", {f"{head}.zip": content})
    out = tmp_path / "whu"
    prepare("whu_building", source / f"{head}.zip", out, run=HERE, tell=silent)
    assert (out / "train/image/1.tif").read_bytes() == members["train/image/1.tif"]
    (tmp_path / "raw.tif").write_bytes(members["train/label/1.tif"])
    with Raster(tmp_path / "raw.tif") as raw, Raster(out / "train/label/1.tif") as label:
        np.testing.assert_array_equal(label.read() * 255, raw.read())
    dataset = build("whu_building.py", out, "test_dataloader")
    assert len(dataset) == 1
    found = np.unique(dataset[0]["data_samples"].gt_sem_seg.data.numpy())
    assert found.tolist() == [0, 1]


@pytest.mark.parametrize("release", ["v2.0", "v1.1"])
def test_mapillary_labels_are_the_ids_of_the_table(tmp_path: Path, release: str) -> None:
    source, truth = archives.make_mapillary(tmp_path / "zips", release=release)
    out = tmp_path / "mapillary"
    manifest = prepare("mapillary", source, out, run=HERE, tell=silent)
    assert len(manifest["classes"]) == 66
    assert manifest["classes"]["65"] == "Unlabeled"
    for (part, name), labels in truth.items():
        found = read_png(out / part / "v1.2/labels" / f"{name}.png")
        np.testing.assert_array_equal(found, labels)
        assert (out / part / "images" / f"{name}.jpg").is_file()


def test_mapillary_of_another_version_is_told(tmp_path: Path) -> None:
    source, _ = archives.make_mapillary(tmp_path / "zips")
    with pytest.raises(DataError, match=r"no config_v2\.0\.json in it"):
        prepare("mapillary", source, tmp_path / "o", Options(version="v2.0"), HERE, tell=silent)


def test_million_aid_is_a_partition_without_overlap(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    head = "train/agriculture_land/arable_land"
    files = {
        f"{head}/dry_field/P0335343.jpg": (40, 56),
        f"{head}/paddy_field/P0335344.jpg": (15, 90),
        "test/P1.jpg": (16, 16),
    }
    members = {
        name: archives.jpg(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        for name, size in files.items()
    }
    source = archives.write_files(tmp_path / "s", members)
    manifest = prepare("million_aid", source, tmp_path / "o", Options(tile=16), HERE, tell=silent)
    lines = (tmp_path / "o/train.txt").read_text().splitlines()
    boxes = [tuple(map(int, line.split("\t")[1:])) for line in lines]
    assert boxes == [(x, y, x + 16, y + 16) for y in (0, 16) for x in (0, 16, 32)]
    assert {line.split("\t")[0] for line in lines} == {f"{head}/dry_field/P0335343.jpg"}
    assert list(manifest["skipped"].values()) == ["15 x 90 px, smaller than a tile"]
    tiles = Options(tile=16, format="png")
    prepare("million_aid", source, tmp_path / "tiles", tiles, HERE, tell=silent)
    assert len(list((tmp_path / "tiles/img_dir/train").glob("*.png"))) == 6


def test_every_set_says_where_it_comes_from_and_on_what_terms() -> None:
    assert len(CONVERTERS) == 9
    for converter in CONVERTERS.values():
        told = converter.describe()
        assert converter.licence in told and converter.where in told and converter.layout in told


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_a_folder_of_something_else_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/notes.txt").write_text("x")
    with pytest.raises(MmrsError) as caught:
        prepare(name, tmp_path / "s", tmp_path / "o", run=HERE, tell=silent)
    line = str(caught.value)
    assert "Fix: " in line and "\n" not in line
    assert "1 x .txt" in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("values", [(0, 255), (0, 1)])
def test_paddy_patches_do_not_overlap_and_become_0_and_1(
    tmp_path: Path, values: tuple[int, int]
) -> None:
    rng = np.random.default_rng(0)
    labels = make_labels((40, 36), (0, 1), rng)
    image = np.dstack([make_image(labels, rng).astype(np.uint16) * 9, labels + np.uint16(1)])
    members = {
        "spot/images/north.tif": archives.tif(image, transform=PADDY_GRID, crs=UTM),
        "spot/labels/north.tif": archives.tif(np.choose(labels, values).astype(np.uint8)),
    }
    source = archives.write_files(tmp_path / "s", members)
    out = tmp_path / "paddy"
    manifest = prepare("paddy", source, out, Options(tile=16), HERE, tell=silent)
    names = sorted(path.name for path in (out / "ann_dir").iterdir())
    boxes = [(x, y) for y in (0, 16) for x in (0, 16)]
    assert names == sorted(f"north_{x}_{y}_{x + 16}_{y + 16}.tif" for x, y in boxes)
    for x, y in boxes:
        name = f"north_{x}_{y}_{x + 16}_{y + 16}.tif"
        with Raster(out / "ann_dir" / name) as label, Raster(out / "img_dir" / name) as tile:
            np.testing.assert_array_equal(label.read()[..., 0], labels[y : y + 16, x : x + 16])
            np.testing.assert_array_equal(tile.read(), image[y : y + 16, x : x + 16])
            assert tile.georeference.crs == UTM
    assert set(manifest["splits"]["all"]["class_pixels"]) == {"0", "1"}
    dataset = build("paddy.py", out, "train_dataloader")
    assert len(dataset) == 3 * 4
    # what the config loads is what was prepared
    assert dataset[0]["inputs"].shape == (3, 16, 16)
    with pytest.raises(MmrsError, match="must not overlap"):
        prepare("paddy", source, tmp_path / "p", Options(stride=8), HERE, tell=silent)
