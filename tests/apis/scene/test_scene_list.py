"""Which scenes a command line means."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmrs.apis.overlay import write_overlay
from mmrs.apis.scene.scene_list import SCENE_SUFFIXES, expand_scenes
from mmrs.errors import DataError, OutputError
from mmrs.geo.maps.class_map import write_class_map
from tests.fake_data import make_geotiff


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(pairs: list[tuple[Path, Path]], root: Path, out: Path) -> dict[str, str]:
    return {str(i.relative_to(root)): str(o.relative_to(out)) for i, o in pairs}


def write_map(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros((4, 4), dtype=np.uint8)
    with write_class_map(path, height=4, width=4, classes=["a"], palette=[(1, 2, 3)]) as writer:
        writer.write_rows(labels)


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("map.tif", "map.tif"),
        ("map.TIFF", "map.TIFF"),
        ("new/", "new/é 中.tif"),
        ("new", "new/é 中.tif"),
        ("there.d", "there.d/é 中.tif"),
        ("map.png", "map.png"),  # refused later, as no class map's name
    ],
)
def test_one_file_becomes_a_file_or_lies_in_a_folder(tmp_path: Path, out: str, expected: str):
    touch(tmp_path, "é 中.jpg", "there.d/x")
    pairs = expand_scenes(str(tmp_path / "é 中.jpg"), f"{tmp_path}/{out}")
    assert pairs == [(tmp_path / "é 中.jpg", tmp_path / expected)]


def test_a_tree_is_mirrored(tmp_path: Path):
    given = ["a/x.tif", "b/x.tif", "b/c d/é.PNG", "b/a.tif.d/y.jp2", "z.vrt"]
    touch(tmp_path / "in", *given, "notes.txt", "b/x.tif.aux.xml", ".hidden.tif", ".h/q.tif")
    pairs = expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))
    found = names(pairs, tmp_path / "in", tmp_path / "out")
    assert found == {name: str(Path(name).with_suffix(".tif")) for name in given}
    assert list(found) == ["z.vrt", "a/x.tif", "b/x.tif", "b/a.tif.d/y.jp2", "b/c d/é.PNG"]


def test_links_to_folders_are_followed_once(tmp_path: Path):
    touch(tmp_path, "in/x.tif", "far/y.tif")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    pairs = expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))
    expected = {"x.tif": "x.tif", "far/y.tif": "far/y.tif"}
    assert names(pairs, tmp_path / "in", tmp_path / "out") == expected


def test_a_pattern_is_mirrored_from_its_fixed_part(tmp_path: Path):
    touch(tmp_path, "in/a/x.tif", "in/b/x.tif", "in/b/c/x.tif", "in/b/x.txt", "in/y.tif")
    out = tmp_path / "out"
    for pattern, expected in (
        ("in/*/x.*", {"a/x.tif": "a/x.tif", "b/x.tif": "b/x.tif"}),
        ("in/b/**/*.tif", {"b/c/x.tif": "c/x.tif", "b/x.tif": "x.tif"}),
        ("in/[xy].tif", {"y.tif": "y.tif"}),
    ):
        pairs = expand_scenes(str(tmp_path / pattern), str(out))
        assert names(pairs, tmp_path / "in", out) == expected


def test_a_name_with_stars_that_exists_is_a_file(tmp_path: Path):
    touch(tmp_path, "[1].tif")
    assert len(expand_scenes(str(tmp_path / "[1].tif"), str(tmp_path / "m.tif"))) == 1


def test_a_list_is_relative_to_itself(tmp_path: Path):
    touch(tmp_path, "in/b/x.tif", "in/a/x 中.tif", "far/z.tif")
    chosen = tmp_path / "in" / "list.txt"
    chosen.write_text("\ufeff# first\n\nb/x.tif\n  a/x 中.tif \r\n", encoding="utf-8")
    out = tmp_path / "out"
    pairs = expand_scenes(str(chosen), str(out))
    assert names(pairs, tmp_path / "in", out) == {"b/x.tif": "b/x.tif", "a/x 中.tif": "a/x 中.tif"}
    # beyond the list's folder: mirrored from what all have in common
    chosen.write_text(f"b/x.tif\n{tmp_path}/far/z.tif\n", encoding="utf-8")
    assert [o for _, o in expand_scenes(str(chosen), str(out))] == [
        out / "in/b/x.tif",
        out / "far/z.tif",
    ]
    chosen.write_text("b/x.tif\nb/gone.tif\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"list\.txt: line 2: there is no file b/gone\.tif"):
        expand_scenes(str(chosen), str(out))
    chosen.write_text("b/x.tif\n\n./b/x.tif\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3: \./b/x\.tif is named in line 1 already"):
        expand_scenes(str(chosen), str(out))
    chosen.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(DataError, match="names no scene"):
        expand_scenes(str(chosen), str(out))


def test_what_an_earlier_run_wrote_is_no_scene(tmp_path: Path):
    root = tmp_path / "in"
    make_geotiff(root / "a" / "y.tif", size_px=(4, 4))
    Image.new("RGB", (4, 4)).save(root / "x.png")
    write_map(root / "x.tif")
    write_map(root / "old maps" / "a" / "y.tif")
    write_overlay(
        root / "a" / "y.tif", root / "old maps" / "a" / "y.tif", root / "old maps" / "y.png",
        classes=["a"], palette=[(1, 2, 3)],
    )  # fmt: skip
    touch(root, "maps/a/y.tif", "maps/.y.12-0a1b2c3d.part.tif")
    for out in (root / "maps", tmp_path / "elsewhere", tmp_path):
        pairs = expand_scenes(str(root), str(out))
        expected = {"x.png": "x.tif", "a/y.tif": "a/y.tif"}
        found = names(pairs, root, out)
        found.pop("maps/a/y.tif", None)  # empty, so that only its folder tells what it is
        assert found == expected
    with pytest.raises(DataError, match=r"no scene: .*all 2 of these are maps of an earlier run"):
        expand_scenes(str(root / "old maps"), str(tmp_path / "out"))


def test_two_scenes_with_one_map_are_refused(tmp_path: Path):
    touch(tmp_path, "in/a.tif", "in/a.png")
    with pytest.raises(OutputError, match=r"out/a\.tif: both .*in/a\.png and .*in/a\.tif would"):
        expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))


def test_nothing_found_says_what_was_searched_for(tmp_path: Path):
    touch(tmp_path, "in/a.xyz", "in/b.xyz", "in/c.csv", "in/d")
    with pytest.raises(DataError) as caught:
        expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))
    assert all(suffix in str(caught.value) for suffix in SCENE_SUFFIXES)
    assert "found 2 .xyz, 1 .csv, 1 no suffix" in str(caught.value)
    with pytest.raises(DataError, match=r"\*\.tif: no scene: .*found nothing else"):
        expand_scenes(str(tmp_path / "in" / "*.tif"), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"gone: no such file or folder"):
        expand_scenes(str(tmp_path / "gone"), str(tmp_path / "out"))


@pytest.mark.parametrize("out", ["map.tif", "file"])
def test_several_scenes_need_a_folder(tmp_path: Path, out: str):
    touch(tmp_path, "in/a.tif", "file")
    with pytest.raises(OutputError, match="several scenes need a folder"):
        expand_scenes(str(tmp_path / "in"), str(tmp_path / out))


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch, caplog):
    touch(tmp_path, "in/a/x.tif", "in/b/y.tif")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    pairs = expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))
    assert [image.name for image, _ in pairs] == ["y.tif"]
    (told,) = caplog.messages
    assert told.endswith("in/a: passed over, the folder cannot be read (Permission denied)")


@pytest.mark.parametrize("name", ["c.tif", "c.png"])
def test_looking_for_own_maps_opens_nothing_but_the_files_themselves(tmp_path: Path, name: str):
    """Of some formats the mere opening asks a server; a suffix tells nothing of the format."""
    touch(tmp_path, "in/a.tif")
    tags = {"CLASS_NAMES": "a", "TIFFTAG_SOFTWARE": "mmrs 1", "Software": "mmrs 1"}
    told = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in tags.items())
    (tmp_path / "in" / name).write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><Metadata>{told}</Metadata>'
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename>/vsicurl/'
        "http://127.0.0.1:9/c.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    pairs = expand_scenes(str(tmp_path / "in"), str(tmp_path / "out"))
    # which is told when it is looked at as a scene
    assert [image.name for image, _ in pairs] == ["a.tif", name]
