"""Which image belongs to which label."""

from pathlib import Path

import pytest

from mmrs.datasets.raster_files import find_files, pair_files
from mmrs.errors import ConfigError, DataError


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_paths_folders_and_globs_name_files_once_and_sorted(tmp_path):
    a, b, c = touch(tmp_path, "é 中/b.tif", "é 中/a.TIF", "é 中/deep/c.tif")
    # the last is what macOS puts beside a file
    touch(tmp_path, "é 中/readme.txt", "é 中/a.tif.aux.xml", "é 中/._b.tif")
    root = str(tmp_path)
    assert find_files("é 中", root, "images") == [b, a]
    assert find_files(["é 中/b.tif", "é 中"], root, "images") == [a, b]
    assert find_files("é 中/**/*.tif", root, "images") == [a, c]
    assert find_files(str(a), None, "images") == [a]


def test_a_name_with_signs_of_a_glob_is_a_name(tmp_path):
    (path,) = touch(tmp_path, "x[1]/a[0-9].tif")
    touch(tmp_path, "x1/a5.tif")
    assert find_files("x[1]/a[0-9].tif", str(tmp_path), "images") == [path]


def test_a_folder_called_like_a_file_is_a_folder(tmp_path):
    (inner,) = touch(tmp_path, "a.tif.d/b.tif")
    assert find_files("a.tif.d", str(tmp_path), "images") == [inner]


def test_nothing_found_tells_what_is_there(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "images/c.txt")
    with pytest.raises(DataError, match=r"images holds 2 x \.png, 1 x \.txt. Fix: check images"):
        find_files("images/*.tif", str(tmp_path), "images")
    with pytest.raises(ConfigError, match="names no files"):
        find_files([], None, "images")


def test_equal_stems_belong_together_in_the_order_of_the_images():
    images = [Path("i/b.tif"), Path("i/a.tif.x.tif"), Path("i/a.tif")]
    labels = [Path("l/a.png"), Path("l/a.tif.x.png"), Path("l/b.gpkg")]
    found = pair_files(images, labels, stem_pattern=None, key="D")
    assert found == [labels[2], labels[1], labels[0]]


def test_a_pattern_pairs_what_is_called_differently():
    images = [Path("top_potsdam_2_10_RGBIR.tif"), Path("top_potsdam_7_9_RGBIR.tif")]
    labels = [Path("top_potsdam_7_9_label.tif"), Path("top_potsdam_2_10_label.tif")]
    found = pair_files(images, labels, stem_pattern=r"(potsdam_\d+_\d+)", key="D")
    assert found == labels[::-1]
    for pattern, message in (("(x)", "does not fit"), ("(", "no regular"), ("a", "has no group")):
        with pytest.raises(ConfigError, match=message):
            pair_files(images, labels, stem_pattern=pattern, key="D")


def test_one_file_of_polygons_serves_all_and_one_image_takes_the_one_label():
    images = [Path("a.tif"), Path("b.tif")]
    gpkg = [Path("fields.gpkg")]
    assert pair_files(images, gpkg, stem_pattern=None, key="D") == gpkg * 2
    assert pair_files(images[:1], [Path("y.tif")], stem_pattern=None, key="D") == [Path("y.tif")]


def test_orphans_are_listed_from_both_sides():
    images = [Path(f"{i}.tif") for i in range(5)]
    labels = [Path(f"{i}.png") for i in (0, 1, 2, 9)]
    with pytest.raises(DataError) as caught:
        pair_files(images, labels, stem_pattern=None, key="D")
    line = str(caught.value)
    assert "2 of 5 images have no label: 3.tif, 4.tif; 1 of 4 labels have no image: 9.png" in line


def test_a_stem_that_comes_twice_is_told():
    images = [Path("x/a.tif"), Path("y/a.tif"), Path("b.tif")]
    with pytest.raises(DataError, match=r"x/a\.tif and y/a\.tif are both called 'a'"):
        pair_files(images, [Path("a.png"), Path("b.png")], stem_pattern=None, key="D")
