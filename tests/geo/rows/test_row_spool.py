from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.errors import OutputError
from mmrs.geo.rows.row_spool import RowSpool, spool_path
from mmrs.geo.rows.scene_rows import SceneRows, Wanted
from mmrs.geo.rows.score_codes import score_code

HEIGHT, WIDTH, CLASSES = 12, 5, 3
ALL = Wanted(confidence=True, entropy=True, probabilities=True)
FINGERPRINT = {"model": "a1", "window": [8, 8], "stride": 4, "threshold": 0.5}
NAMES = ("confidence", "entropy", "probabilities")


def scene(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> SceneRows:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(CLASSES), (height, width)).astype(np.float32)
    rows = SceneRows(
        rng.integers(0, CLASSES, (height, width), dtype=np.uint8),
        rng.random((height, width), dtype=np.float32),
        rng.random((height, width), dtype=np.float32),
        np.ascontiguousarray(np.moveaxis(probabilities, -1, 0)),
    )
    rows.clear(rng.random((height, width)) < 0.2)
    return rows


def piece(rows: SceneRows, begin: int, end: int) -> SceneRows:
    scores = [getattr(rows, name) for name in NAMES]
    return SceneRows(
        rows.labels[begin:end].copy(),
        *(None if score is None else score[..., begin:end, :].copy() for score in scores),
    )


def open_spool(folder: Path, *, resume: bool, **changes) -> RowSpool:
    options = {
        "fingerprint": FINGERPRINT,
        "width": WIDTH,
        "height": HEIGHT,
        "wanted": ALL,
        "num_classes": CLASSES,
        "score_dtype": "uint8",
    }
    return RowSpool(folder / "map.tif", resume=resume, **{**options, **changes})


def fill(spool: RowSpool, rows: SceneRows, heights: Sequence[int]) -> None:
    begin = spool.rows
    for height in heights:
        spool.append(piece(rows, begin, begin + height))
        begin += height


def assert_rows(found: SceneRows, rows: SceneRows, code, begin: int, end: int) -> None:
    expected = piece(rows, begin, end)
    np.testing.assert_array_equal(found.labels, expected.labels)
    for name in NAMES:
        stored = code.decode(code.encode(getattr(expected, name)))
        np.testing.assert_array_equal(getattr(found, name), stored)


def assert_kept(spool: RowSpool, rows: SceneRows, kept: int) -> None:
    """The spool holds exactly the first ``kept`` rows, whichever way they are read."""
    assert spool.rows == kept
    begin = 0
    for found in spool.read():
        assert_rows(found, rows, spool.code, begin, begin + len(found))
        begin += len(found)
    assert begin == kept


@settings(max_examples=30, deadline=None)
@given(
    heights=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    stop=st.integers(0, 6),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    seed=st.integers(0, 9),
)
def test_rows_come_back_in_the_pieces_written_across_a_resume(
    tmp_path_factory: pytest.TempPathFactory, heights, stop, dtype, seed
) -> None:
    folder, rows = tmp_path_factory.mktemp("spool"), scene(sum(heights), seed=seed)
    options = {"height": sum(heights), "score_dtype": dtype}
    with open_spool(folder, resume=False, **options) as spool:
        fill(spool, rows, heights[:stop])
    with open_spool(folder, resume=True, **options) as spool:
        assert spool.rows == sum(heights[:stop])
        fill(spool, rows, heights[stop:])
        assert [len(found) for found in spool.read()] == heights
        assert_kept(spool, rows, sum(heights))
        for first in range(spool.rows):
            for last in range(first + 1, spool.rows + 1):
                assert_rows(spool.read_rows(first, last), rows, spool.code, first, last)


def frame_ends(folder: Path, rows: SceneRows, heights: Sequence[int], **options) -> list[int]:
    """Bytes of the spool after the header and after each piece."""
    with open_spool(folder, resume=False, **options) as spool:
        ends = [spool.path.stat().st_size]
        for height in heights:
            fill(spool, rows, [height])
            ends.append(spool.path.stat().st_size)
    return ends


HEIGHTS = (3, 1, 5, 3)


def kept_before(byte: int, ends: Sequence[int]) -> int:
    """Rows of the pieces that end at or before a byte; none where the header does not."""
    return sum(height for height, end in zip(HEIGHTS, ends[1:], strict=True) if end <= byte)


def test_a_spool_cut_at_any_byte_keeps_the_pieces_before_and_can_go_on(tmp_path: Path) -> None:
    rows = scene()
    ends = frame_ends(tmp_path, rows, HEIGHTS)
    path = spool_path(tmp_path / "map.tif")
    whole = path.read_bytes()
    assert ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with open_spool(tmp_path, resume=True) as spool:
            assert_kept(spool, rows, kept_before(size, ends))
            if size % 16 == 0:
                fill(spool, rows, [1] * (HEIGHT - spool.rows))
                assert_kept(spool, rows, HEIGHT)


@pytest.mark.parametrize("junk", [b"\0" * 4096, b"\xff" * 4096])
def test_what_a_crash_of_the_system_leaves_behind_the_last_piece_is_cut_off(
    tmp_path: Path, junk: bytes
) -> None:
    rows = scene()
    ends = frame_ends(tmp_path, rows, HEIGHTS)
    path = spool_path(tmp_path / "map.tif")
    path.write_bytes(path.read_bytes()[: ends[2]] + junk)
    with open_spool(tmp_path, resume=True) as spool:
        assert_kept(spool, rows, sum(HEIGHTS[:2]))
    assert path.stat().st_size == ends[2]


def test_a_bit_that_flips_anywhere_costs_the_rows_from_there_on_and_no_others(
    tmp_path: Path,
) -> None:
    rows = scene()
    ends = frame_ends(tmp_path, rows, HEIGHTS)
    path = spool_path(tmp_path / "map.tif")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for byte in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[byte] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with open_spool(tmp_path, resume=True) as spool:
            kept = 0 if byte < ends[0] else kept_before(byte, ends)
            assert_kept(spool, rows, kept)


def test_damage_after_opening_is_told_and_a_resume_mends_it(tmp_path: Path) -> None:
    rows = scene()
    ends = frame_ends(tmp_path, rows, HEIGHTS)
    with open_spool(tmp_path, resume=True) as spool:
        with spool.path.open("r+b") as file:
            file.seek(ends[1] + 20)
            file.write(b"damage")
        with pytest.raises(OutputError, match=r"map\.tif: the rows from 3 on, kept in .*--resume"):
            list(spool.read())
    with open_spool(tmp_path, resume=True) as spool:
        assert_kept(spool, rows, 3)


def test_without_resume_a_run_begins_anew(tmp_path: Path) -> None:
    frame_ends(tmp_path, scene(), HEIGHTS)
    with open_spool(tmp_path, resume=False, fingerprint={"other": 1}) as spool:
        assert spool.rows == 0
        assert list(spool.read()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fingerprint": {**FINGERPRINT, "stride": 8}}, "another stride: 4, now 8"),
        ({"fingerprint": {**FINGERPRINT, "window": (8, 9)}}, r"window: \[8, 8\], now \[8, 9\]"),
        ({"fingerprint": {**FINGERPRINT, "crf": True}}, "another crf: none, now true"),
        ({"fingerprint": {"model": "a1"}}, r"another window: \[8, 8\], now none"),
        ({"width": 6}, "another width: 5, now 6"),
        ({"height": 13}, "another height: 12, now 13"),
        ({"score_dtype": "uint16"}, "another kept rows: .*uint8.*, now .*uint16"),
        ({"wanted": Wanted()}, "another kept rows: .*entropy.*, now .*labels"),
        ({"num_classes": 4}, "another kept rows: .*uint8 x 3.*, now .*uint8 x 4"),
    ],
)
def test_rows_of_another_run_are_refused_with_the_first_difference(
    tmp_path: Path, changes: dict, told: str
) -> None:
    ends = frame_ends(tmp_path, scene(), HEIGHTS)
    with pytest.raises(OutputError, match=rf"map\.tif: .*{told}.*\. Fix: leave --r") as got:
        open_spool(tmp_path, resume=True, **changes)
    assert "\n" not in str(got.value)
    assert spool_path(tmp_path / "map.tif").stat().st_size == ends[-1]
    with open_spool(tmp_path, resume=True) as spool:  # nor does the refusal hold the lock
        assert spool.rows == HEIGHT


def test_numbers_that_json_holds_otherwise_are_still_the_same_run(tmp_path: Path) -> None:
    for resume in (False, True):
        with open_spool(tmp_path, resume=resume, fingerprint={"mean": (0.1, 1 / 3), "é": None}):
            pass


def test_a_second_writer_of_one_target_is_refused(tmp_path: Path) -> None:
    with open_spool(tmp_path, resume=False):
        with pytest.raises(OutputError, match=r"map\.tif: another process is writing it"):
            open_spool(tmp_path, resume=True)
        code = (
            "from pathlib import Path; from mmrs.geo.rows.row_spool import RowSpool; "
            f"RowSpool(Path({str(tmp_path / 'map.tif')!r}), fingerprint={{}}, width=1, height=1, "
            "resume=False)"
        )
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode != 0
        assert "another process is writing it" in other.stderr
    with open_spool(tmp_path, resume=True) as spool:
        spool.delete()
    assert os.listdir(tmp_path) == []
    with open_spool(tmp_path, resume=True) as spool:
        assert spool.rows == 0


def test_a_link_in_the_place_of_the_spool_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    spool_path(tmp_path / "map.tif").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"map\.tif: cannot be written"):
        open_spool(tmp_path, resume=False)
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("name", ["map.tif", "é 中 x.tif", "x" * 240 + ".tif", "中" * 83 + ".tif"])
def test_every_target_has_a_spool_of_its_own_that_the_system_can_name(
    tmp_path: Path, name: str
) -> None:
    path = spool_path(tmp_path / "new" / name)
    assert path.name.startswith(".")
    assert path != spool_path(tmp_path / "new" / f"y{name[1:]}")
    options = {"fingerprint": {}, "width": 1, "height": 1}
    with RowSpool(tmp_path / "new" / name, resume=False, **options):
        assert path.is_file()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes of a file (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_and_costs_no_row_that_was_kept(tmp_path: Path) -> None:
    rows = scene()
    ends = frame_ends(tmp_path, rows, HEIGHTS)
    for limit in range(ends[0] + 1, ends[-1], 7):
        with open_spool(tmp_path, resume=False) as spool:
            with (
                file_size_limit(limit),
                pytest.raises(
                    OutputError,
                    match=r"map\.tif: cannot be written \(File too large, [\d,]+ bytes more "
                    r"needed, [\d,]+ bytes free\)\. Fix: free space",
                ),
            ):
                fill(spool, rows, HEIGHTS)
            kept = kept_before(limit, ends)
            assert_kept(spool, rows, kept)
            assert spool.path.stat().st_size == max(end for end in ends if end <= limit)
            fill(spool, rows, [1] * (HEIGHT - kept))  # space was freed, and it goes on
            assert_kept(spool, rows, HEIGHT)


def test_large_pieces_are_kept_in_parts_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmrs.geo.rows.row_spool._PIECE_BYTES", 4 * WIDTH * (1 + 2 + CLASSES))
    rows = scene()
    with open_spool(tmp_path, resume=False) as spool:
        fill(spool, rows, [HEIGHT - 1, 1])
        assert [len(found) for found in spool.read()] == [4, 4, 3, 1]
        assert_kept(spool, rows, HEIGHT)


def test_rows_that_are_read_may_be_changed(tmp_path: Path) -> None:
    with open_spool(tmp_path, resume=False) as spool:
        fill(spool, scene(), [HEIGHT])
        for rows in spool.read():
            rows.clear(np.ones((HEIGHT, WIDTH), dtype=bool))
            assert (rows.labels == 255).all()
        assert_kept(spool, scene(), HEIGHT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": np.zeros((2, 4), np.uint8)}, r"labels must be \(n, 5\) uint8, got \(2, 4\)"),
        ({"labels": np.zeros((2, 5), np.int64)}, r"got \(2, 5\) int64"),
        ({"confidence": None}, r"confidence must be of shape \(2, 5\), got None"),
        ({"probabilities": np.zeros((4, 2, 5), np.float32)}, r"probabilities must be of .*3, 2, 5"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, change: dict, told: str) -> None:
    rows = piece(scene(), 0, 2)
    for name, value in change.items():
        setattr(rows, name, value)
    with open_spool(tmp_path, resume=False) as spool:
        with pytest.raises(ValueError, match=told):
            spool.append(rows)
        assert spool.rows == 0


def test_more_rows_than_the_scene_has_are_refused(tmp_path: Path) -> None:
    with open_spool(tmp_path, resume=False) as spool:
        fill(spool, scene(), [HEIGHT])
        with pytest.raises(ValueError, match="row 13 of a scene of 12"):
            spool.append(piece(scene(), 0, 1))
        with pytest.raises(ValueError, match="rows 3 to 13 are asked for, but 0 to 12 are kept"):
            spool.read_rows(3, 13)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width": 0}, "height and width must be >= 1"),
        ({"num_classes": 0}, "num_classes must be >= 1, got 0"),
        ({"score_dtype": "int8"}, "scores are stored as uint8, uint16, float32, not as 'int8'"),
    ],
)
def test_options_without_a_meaning_are_refused(tmp_path: Path, change: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        open_spool(tmp_path, resume=False, **change)


def test_the_disk_is_asked_before_the_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"width": 100_000, "height": 100_000}  # 10 Gpx, 6 bytes each
    for free, told in ((10**12, None), (10**9, r"may need .* bytes, 1,000,000,000 bytes free")):
        monkeypatch.setattr("mmrs.geo.disk_space.free_bytes", lambda _, free=free: free)
        with open_spool(tmp_path, resume=False, **options) as spool:
            assert told is None or spool.space_warning is not None
            assert (spool.space_warning is None) == (told is None)
    monkeypatch.setattr("mmrs.geo.disk_space.free_bytes", lambda _: 10**7)
    with pytest.raises(OutputError, match=r"map\.tif: at least 120,000,000 bytes are needed, 10,0"):
        open_spool(tmp_path, resume=False, **options)


def test_codes_are_what_is_published(tmp_path: Path) -> None:
    rows = scene()
    with open_spool(tmp_path, resume=False, score_dtype="uint16") as spool:
        fill(spool, rows, HEIGHTS)
        found = np.concatenate([arrays["confidence"] for arrays in spool.read_codes()])
    np.testing.assert_array_equal(found, score_code("uint16").encode(rows.confidence))
    assert found.dtype == np.uint16
