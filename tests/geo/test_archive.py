from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.errors import DataError, OutputError
from mmrs.geo.archive import survey
from mmrs.geo.archive_checks import ArchiveLimits
from mmrs.geo.source_file import fetch

FILES = {"img/1.png": b"one", "img/é 中.png": b"two" * 1000, "labels.tif/x.txt": b""}


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def read_all(source: Path, scratch: Path, **options) -> dict[str, bytes]:
    found = {}
    for file in survey(source, scratch, **options):
        with fetch(file, scratch) as path:
            found[file.name] = path.read_bytes()
            assert path.suffix == file.suffix
            assert file.size == len(found[file.name])
    return found


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_every_kind_gives_the_same_files(tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"é a.d/set.{kind}"
    source.parent.mkdir()
    if kind == "folder":
        for name, content in FILES.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
    elif kind == "zip":
        make_zip(source, FILES)
    else:
        make_tar(source, FILES, "w" if kind == "tar" else "w:gz")
    assert read_all(source, tmp_path / "scratch") == FILES


def test_archives_in_archives_count_as_folders_and_only_those_asked_for_are_opened(
    tmp_path: Path,
) -> None:
    inner = make_zip(tmp_path / "inner.zip", FILES).read_bytes()
    packed = make_tar(tmp_path / "a.tar.gz", {"deep.zip": inner, "b.txt": b"b"}).read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    make_zip(source / "all.zip", {"x/inner.zip": inner, "a.tar.gz": packed, "other.zip": b"no zip"})
    found = read_all(
        source, tmp_path / "scratch", open_archive=lambda name: not name.endswith("other.zip")
    )
    assert found == (
        {f"all.zip/x/inner.zip/{name}": content for name, content in FILES.items()}
        | {f"all.zip/a.tar.gz/deep.zip/{name}": content for name, content in FILES.items()}
        | {"all.zip/a.tar.gz/b.txt": b"b"}
    )
    with pytest.raises(DataError, match=r"other\.zip.*neither a zip nor a tar"):
        survey(source, tmp_path / "scratch")


def test_what_file_managers_leave_is_no_file(tmp_path: Path) -> None:
    source = make_zip(
        tmp_path / "a.zip", {"__MACOSX/._1.png": b"x", "1.png": b"1", ".DS_Store": b"", "d/": b""}
    )
    assert list(read_all(source, tmp_path / "s")) == ["1.png"]


EVIL_NAMES = [
    "../up.txt",
    "a/../../up.txt",
    "/etc/x",
    "C:\\x.txt",
    "a\\..\\..\\x",
    "..",
    "\\\\h\\x",
]


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "nested"])
def test_names_that_lead_elsewhere_are_refused_and_nothing_is_written(
    tmp_path: Path, name: str, kind: str
) -> None:
    source, scratch = tmp_path / f"evil.{kind}", tmp_path / "scratch"
    members = {"good.txt": b"g", name: b"evil"}
    if kind == "zip":
        make_zip(source, members)
    elif kind == "tar.gz":
        make_tar(source, members)
    else:
        inner = make_zip(tmp_path / "evil.zip", members).read_bytes()
        source = make_zip(tmp_path / "outer.zip", {"evil.zip": inner})
        (tmp_path / "evil.zip").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"(absolute path|leads out).*refused.*Fix: "):
        survey(source, scratch)
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file()]
    # the outer archive of a nested one had to be opened; nothing of the inner one is there
    assert all(path.read_bytes()[:2] == b"PK" for path in left)
    assert kind == "nested" or left == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    source = tmp_path / "a.tar"
    with tarfile.open(source, "w") as archive:
        info = tarfile.TarInfo("link")
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="member link is a link or a device; refused"):
        survey(source, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        survey(source, tmp_path / "s")


def test_a_member_that_comes_twice_is_refused(tmp_path: Path) -> None:
    source = make_tar(tmp_path / "a.tar", {"a/1": b"1", "a/./1": b"2"}, "w")
    with pytest.raises(DataError, match="a/1 is there twice"):
        survey(source, tmp_path / "s")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (ArchiveLimits(max_files=2), "more than 2 files.*--max-files"),
        (ArchiveLimits(max_bytes=3000), "unpacks to more than.*--max-size"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_limits_hold_before_anything_is_written(
    tmp_path: Path, limits: ArchiveLimits, told: str, kind: str
) -> None:
    source = tmp_path / f"a.{kind}"
    (make_zip if kind == "zip" else make_tar)(source, FILES)
    with pytest.raises(DataError, match=told):
        survey(source, tmp_path / "s", limits=limits)
    assert not (tmp_path / "s").exists()


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmrs.geo.archive_checks._RATIO_COUNTS_FROM", 1 << 16)
    source = make_zip(tmp_path / "a.zip", {"0": bytes(1 << 20)})
    with pytest.raises(DataError, match=r"500 times its size, as a bomb does.*--max-ratio"):
        survey(source, tmp_path / "s")
    assert len(survey(source, tmp_path / "s", limits=ArchiveLimits(max_ratio=2000))) == 1


def test_limits_count_all_archives_of_a_source_together(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "i.zip", {"1": b"", "2": b""}).read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    make_zip(source / "a.zip", {"b.zip": inner, "c.zip": inner})
    with pytest.raises(DataError, match="more than 5 files"):
        survey(source, tmp_path / "s", limits=ArchiveLimits(max_files=5))
    assert len(survey(source, tmp_path / "s", limits=ArchiveLimits(max_files=6))) == 4


def test_an_encrypted_zip_is_told(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"1": b"x"})
    content = bytearray(source.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        survey(source, tmp_path / "s")


def test_a_full_disk_is_told_before_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tar(tmp_path / "a.tar", FILES)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("mmrs.geo.archive.shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"needs .* GiB"):
        survey(source, tmp_path / "s")
    assert os.listdir(tmp_path / "s") == []


@pytest.mark.parametrize(
    ("name", "told"), [("none.zip", "no such file"), ("text.txt", "no zip or tar")]
)
def test_a_source_that_is_none_is_told(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(DataError, match=told):
        survey(tmp_path / name, tmp_path / "s")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["zip", "tar.gz", "tar"]))
def test_damaged_archives_give_their_files_or_one_error(
    data: st.DataObject, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    source = folder / f"a.{kind}"
    if kind == "zip":
        make_zip(source, FILES)
    else:
        make_tar(source, FILES, "w" if kind == "tar" else "w:gz")
    content = bytearray(source.read_bytes())
    if data.draw(st.booleans(), label="cut"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    source.write_bytes(content)
    try:
        read_all(source, folder / "s")
    except (DataError, OutputError) as error:
        assert "Fix: " in str(error) and "\n" not in str(error)
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert {path.name for path in folder.iterdir()} <= {source.name, "s"}


def test_a_tar_whose_last_member_is_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "i.zip", {"1": b"one"}).read_bytes()
    source = make_tar(tmp_path / "a.tar", {"0": b"zero", "b.zip": inner})
    assert read_all(source, tmp_path / "s") == {"0": b"zero", "b.zip/1": b"one"}


def test_folders_that_are_links_are_read_and_never_for_ever(tmp_path: Path) -> None:
    (tmp_path / "far/deep").mkdir(parents=True)
    (tmp_path / "far/deep/a.txt").write_bytes(b"a")
    (tmp_path / "s").mkdir()
    (tmp_path / "s/images").symlink_to(tmp_path / "far")
    assert read_all(tmp_path / "s", tmp_path / "t") == {"images/deep/a.txt": b"a"}
    (tmp_path / "far/deep/up").symlink_to(tmp_path / "far")
    with pytest.raises(DataError, match=r"up: is a link to .*far, which it lies in"):
        survey(tmp_path / "s", tmp_path / "t")
    (tmp_path / "far/deep/up").unlink()
    for first, second in (("a", "b"), ("b", "a")):
        (tmp_path / "s" / first).mkdir()
        (tmp_path / "s" / first / "to").symlink_to(tmp_path / "s" / second)
    with pytest.raises(DataError, match="which it lies in"):
        survey(tmp_path / "s", tmp_path / "t")


def test_a_way_of_packing_that_is_not_known_is_no_damage(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"1": b"x" * 100})
    content = bytearray(source.read_bytes())
    content[8], content[content.index(b"PK\x01\x02") + 10] = 9, 9
    source.write_bytes(content)
    with pytest.raises(DataError, match=r"compression method.*Fix: unpack it yourself \(7z x\)"):
        read_all(source, tmp_path / "s")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz", "nested"])
def test_files_that_say_where_a_raster_lies_come_with_it(tmp_path: Path, kind: str) -> None:
    files = {
        "d/a.TIF": b"tif", "d/a.tfw": b"world", "d/a.TIF.aux.xml": b"pam", "d/b.tfw": b"other",
        "e/a.png": b"png", "e/a.pgw": b"small", "d/a.png": b"other",
    }  # fmt: skip
    source = tmp_path / f"a.{kind}"
    if kind == "folder":
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
    elif kind == "tar.gz":
        make_tar(source, files, "w:gz")
    elif kind == "zip":
        make_zip(source, files)
    else:
        inner = make_zip(tmp_path / "i.zip", files).read_bytes()
        source = make_tar(tmp_path / "a.tar", {"i.zip": inner})
    found = {file.name.removeprefix("i.zip/"): file for file in survey(source, tmp_path / "s")}
    assert set(found) == set(files)
    with fetch(found["d/a.TIF"], tmp_path / "s") as path:
        stem = path.name[: -len(".tif")]
        beside = {
            p.name[len(stem) :].lower(): p.read_bytes()
            for p in path.parent.iterdir()
            if p.name.startswith(f"{stem}.") and p.suffix.lower() not in (".tif", ".png")
        }
        assert beside == {".tfw": b"world", ".tif.aux.xml": b"pam"}
    with fetch(found["e/a.png"], tmp_path / "s") as path:
        assert path.with_suffix(".pgw").read_bytes() == b"small"
    for name, content in files.items():
        with fetch(found[name], tmp_path / "s") as path:
            assert path.read_bytes() == content
    if kind == "zip":
        assert os.listdir(tmp_path / "s") == []
