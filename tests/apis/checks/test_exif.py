"""Pictures are turned as OpenCV turns them, and it is told."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image, ImageOps

from mmrs.apis.check_dataset import check_dataset
from mmrs.apis.checks.contact_sheet import _draw_pair
from mmrs.apis.checks.exif import exif_turn, turned
from mmrs.apis.checks.pair_check import PairChecker
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.runner import prepare
from mmrs.errors import DataError
from tests.apis.check_sets import png_set
from tests.apis.checks.test_channel_findings import Bare
from tests.fake_data import read_png

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 10, 3)).astype(np.uint8)


def save(path: Path, turn: int) -> np.ndarray:
    """A PNG with an orientation; what a viewer shows."""
    picture = Image.fromarray(PIXELS)
    exif = picture.getexif()
    exif[0x0112] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, exif=exif)
    with Image.open(path) as opened:
        return np.asarray(ImageOps.exif_transpose(opened))


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_as_viewers_and_opencv_turn_them(tmp_path: Path, turn: int) -> None:
    shown = save(tmp_path / "a.png", turn)
    assert exif_turn(tmp_path / "a.png") == turn
    np.testing.assert_array_equal(turned(PIXELS, turn), shown)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], shown)


@pytest.mark.parametrize("content", [b"", b"text", b"II*\0"])
def test_what_is_no_picture_is_not_turned(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert exif_turn(tmp_path / "a.png") == 1


@pytest.mark.parametrize("turn", [1, 3, 6])
@pytest.mark.parametrize("tile", [0, 4])
def test_a_prepared_image_lies_under_its_label(tmp_path: Path, turn: int, tile: int) -> None:
    shown = save(tmp_path / "s/images/a.png", turn)
    labels = (shown[..., 0] > 99).astype(np.uint8)
    (tmp_path / "s/masks").mkdir()
    Image.fromarray(labels).save(tmp_path / "s/masks/a.png")
    options = Options(tile=tile, threshold=1)
    manifest = prepare("generic", tmp_path / "s", tmp_path / "o", options,
                       RunOptions(workers=0), tell=lambda line: None)  # fmt: skip
    assert any("a.png" in note and "EXIF" in note for note in manifest["notes"]) == (turn > 1)
    (image,) = manifest["images"]
    assert image["size"] == list(shown.shape[:2])
    for (row, col, height, width), made in zip(image["windows"], image["tiles"], strict=True):
        part = np.s_[row : row + height, col : col + width]
        np.testing.assert_array_equal(
            read_png(tmp_path / f"o/img_dir/train/{made['stem']}.png"), shown[part]
        )
        np.testing.assert_array_equal(
            read_png(tmp_path / f"o/ann_dir/train/{made['stem']}.png"), labels[part]
        )


def test_a_label_of_the_picture_as_it_is_stored_is_told(tmp_path: Path) -> None:
    save(tmp_path / "s/images/a.png", 6)
    (tmp_path / "s/masks").mkdir()
    Image.fromarray(np.zeros((6, 10), np.uint8)).save(tmp_path / "s/masks/a.png")
    with pytest.raises(DataError, match=r"label is 6 x 10 but its image .* 10 x 6 .*EXIF"):
        prepare("generic", tmp_path / "s", tmp_path / "o", None, RunOptions(workers=0))


@pytest.mark.parametrize(("turn", "kinds"), [(1, []), (3, ["turned"]), (6, ["turned"])])
def test_the_check_tells_pictures_that_are_turned(tmp_path: Path, turn: int, kinds: list) -> None:
    shown = save(tmp_path / "a.png", turn)
    Image.fromarray(np.zeros(shown.shape[:2], np.uint8)).save(tmp_path / "b.png")
    from mmseg.datasets.transforms import LoadAnnotations

    info = {"img_path": str(tmp_path / "a.png"), "seg_map_path": str(tmp_path / "b.png"),
            "reduce_zero_label": False, "label_map": None, "seg_fields": []}  # fmt: skip
    result = PairChecker(Bare(), [LoadImageFromFile(), LoadAnnotations()]).check(info, whole=True)
    assert [finding.kind for finding in result.findings] == kinds
    assert all(finding.level == "warning" for finding in result.findings)


def test_the_contact_sheet_shows_what_training_sees(tmp_path: Path) -> None:
    made = png_set(tmp_path, np.random.default_rng(0))
    path = made.images("train")[0]
    half = np.zeros((32, 32, 3), np.uint8)
    half[16:] = 255
    picture = Image.fromarray(half)
    exif = picture.getexif()
    exif[0x0112] = 3
    picture.save(path, exif=exif)
    report = check_dataset(made.config(), splits=["train"])
    row = _draw_pair(report.checks[0], {"img_path": str(path)}, False)
    assert row.panels[0][0].mean() == 255 and row.panels[0][-1].mean() == 0


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_label_that_is_no_file_is_missing(tmp_path: Path, kind: str) -> None:
    made = png_set(tmp_path, np.random.default_rng(0))
    path = made.labels("train")[1]
    path.unlink()
    path.mkdir() if kind == "folder" else path.symlink_to(tmp_path / "nowhere.png")
    (found,) = [f for f in check_dataset(made.config()).findings if f.level == "error"]
    assert found.kind == "no label" and str(path) in str(found.error)
