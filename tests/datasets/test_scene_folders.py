"""Pictures in folders: which, with which label, and with which pixels."""

import numpy as np
import pytest
from PIL import Image

from mmrs.datasets import SceneFoldersDataset, UnlabelledRasterDataset
from mmrs.errors import ConfigError, DataError
from tests.engine.tiny_pretraining import COLOURS, write_scenes
from tests.fake_data import make_geotiff


def keep(results: dict) -> dict:
    return results


def scenes(root, **options) -> SceneFoldersDataset:
    return SceneFoldersDataset(data_root=str(root), pipeline=[keep], **options)


def test_labels_are_folders_by_name_and_pixels_are_the_files(tmp_path):
    dataset = scenes(write_scenes(tmp_path, each=2))
    assert dataset.metainfo["classes"] == tuple(COLOURS)
    assert [sample["gt_label"] for sample in dataset] == [0, 0, 1, 1, 2, 2]
    for sample in dataset:
        assert list(COLOURS)[sample["gt_label"]] in sample["img_path"]
        # red, green, blue
        assert np.array_equal(sample["img"], np.asarray(Image.open(sample["img_path"])))
        assert sample["img_shape"] == (8, 8)


def test_classes_can_be_chosen_and_ordered(tmp_path):
    dataset = scenes(write_scenes(tmp_path, each=2), classes=["town", "field"])
    assert [(s["gt_label"], "town" in s["img_path"]) for s in dataset] == [
        *((0, True), (0, True)),
        *((1, False), (1, False)),
    ]


def test_what_is_no_picture_does_not_count(tmp_path):
    write_scenes(tmp_path, each=1)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "read_me.txt").write_text("x")
    (tmp_path / "town" / "Thumbs.db").write_text("x")
    (tmp_path / "town" / ".hidden.png").write_text("x")
    assert len(scenes(tmp_path)) == 3


def test_one_band_is_read_as_three_and_others_as_they_are(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (tmp_path / "a").mkdir()
    Image.fromarray(grey).save(tmp_path / "a" / "0.png")
    written = make_geotiff(tmp_path / "b" / "1.tif", size_px=(8, 8))
    first, second = scenes(tmp_path)
    assert np.array_equal(first["img"], np.stack([grey] * 3, axis=2))
    assert np.array_equal(second["img"], written.transpose(1, 2, 0))
    chosen = SceneFoldersDataset(
        data_root=str(tmp_path), classes=["b"], bands=[2, 1], pipeline=[keep]
    )
    assert np.array_equal(chosen[0]["img"], written[[1, 0]].transpose(1, 2, 0))
    # what was chosen is what a network of one band takes
    chosen = SceneFoldersDataset(data_root=str(tmp_path), classes=["b"], bands=[2], pipeline=[keep])
    assert np.array_equal(chosen[0]["img"], written[[1]].transpose(1, 2, 0))


def test_scenes_are_scaled_as_the_windows_of_pre_training(tmp_path):
    scaling = {"type": "minmax", "min": [10.0, 20.0], "max": [800.0, 4000.0]}
    options = {"bands": [2, 4], "scaling": scaling}
    for name in "ab":
        path = tmp_path / name / "s.tif"
        make_geotiff(path, size_px=(16, 16), bands=4, dtype="uint16", nodata=0, nodata_columns=5)
    for sample in scenes(tmp_path, **options):
        windows = UnlabelledRasterDataset(
            data_root=str(tmp_path), images=sample["img_path"], size=16, pipeline=[keep], **options
        )
        assert sample["img"].dtype == np.float32
        assert np.array_equal(sample["img"], windows[0]["img"])
    make_geotiff(tmp_path / "b" / "t.tif", size_px=(16, 16))
    with pytest.raises(DataError, match=r"t\.tif: 3 bands of uint8, but .*s\.tif has 4 of uint16"):
        scenes(tmp_path, scaling={"type": "minmax", "min": 0.0, "max": 800.0})[2]
    with pytest.raises(ConfigError, match=r"SceneFoldersDataset\.scaling: must be a dict, got "):
        scenes(tmp_path, scaling="minmax")
    with pytest.raises(ConfigError, match=r"SceneFoldersDataset\.scaling: type 'max' is unknown"):
        scenes(tmp_path, scaling={"type": "max"})


def test_a_palette_is_read_as_its_colours(tmp_path):
    ids = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    colours = np.array([(250, 0, 9), (0, 200, 0), (7, 8, 90)], dtype=np.uint8)
    picture = Image.fromarray(ids)
    picture.putpalette(colours.ravel().tolist())
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "p.png")
    (sample,) = scenes(tmp_path)
    assert np.array_equal(sample["img"], colours[ids])


def test_empty_and_missing_folders_are_told(tmp_path):
    with pytest.raises(DataError, match="none: there is no such folder"):
        scenes(tmp_path / "none")
    with pytest.raises(DataError, match="there are no folders in it"):
        scenes(tmp_path)
    with pytest.raises(ConfigError, match=r"SceneFoldersDataset\.classes: must name a folder"):
        scenes(tmp_path, classes=[])
    (tmp_path / "moor").mkdir()
    with pytest.raises(DataError, match="moor: there is no picture of class 'moor'"):
        scenes(tmp_path)
