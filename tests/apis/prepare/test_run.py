"""Restart, kill, replace, fetch: what a preparation does beside its pixels."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmrs.apis.prepare import cut, runner
from mmrs.apis.prepare.cut import own_parts
from mmrs.apis.prepare.download import Download, download
from mmrs.apis.prepare.files import write_whole
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.runner import prepare
from mmrs.apis.prepare.staging import Staging, read_manifest
from mmrs.errors import DataError, MmrsError, OutputError
from mmrs.geo.archive_checks import ArchiveLimits
from mmrs.geo.windows import WindowPlan, plan_windows
from tests.apis.prepare import archives
from tests.apis.tiny_run import ROOT, run_tool

HERE = RunOptions(workers=0)
OPTIONS = Options(tile=32, stride=16)


def silent(*_: object) -> None:
    """Tell nobody."""


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archives.make_potsdam(tmp_path_factory.mktemp("z"), ["2_10", "2_11", "2_13"])[0]


def go(source: Path, out: Path, run: RunOptions = HERE, options: Options = OPTIONS) -> dict:
    return prepare("potsdam", source, out, options, run, tell=silent)


def test_the_manifest_lists_every_file_with_its_checksum(source: Path, tmp_path: Path) -> None:
    manifest = go(source, tmp_path / "o")
    listed = {
        name: tuple(entry)
        for image in manifest["images"]
        for tile in image["tiles"]
        for name, entry in tile["files"].items()
    }
    found = tree(tmp_path / "o")
    assert set(found) == {*listed, "manifest.json"}
    for name, entry in listed.items():
        assert entry == (len(found[name]), hashlib.sha256(found[name]).hexdigest())
    assert json.loads(found["manifest.json"]) == json.loads(json.dumps(manifest))
    (archive,) = manifest["sources"]
    assert archive["sha256"] == hashlib.sha256((source / "Potsdam.zip").read_bytes()).hexdigest()
    image = manifest["images"][0]
    assert image["sources"]["image"]["name"].endswith("top_potsdam_2_10_RGB.tif")
    assert image["windows"] == [list(window) for window in plan_windows(48, 48, 32, 16)]
    assert sorted(os.listdir(tmp_path)) == ["o"]


def test_processes_make_the_same_set(source: Path, tmp_path: Path) -> None:
    go(source, tmp_path / "one")
    go(source, tmp_path / "two", RunOptions(workers=2))
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert one == two


def test_a_second_run_does_nothing_and_another_needs_overwrite(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"
    go(source, out)
    before = tree(out)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "cut_image", None)
        go(source, out)
    other = Options(tile=16)
    with pytest.raises(OutputError, match=r"prepared with other settings.*--overwrite"):
        go(source, out, options=other)
    assert tree(out) == before
    manifest = go(source, out, RunOptions(workers=0, overwrite=True), other)
    assert len(tree(out)) == 1 + 3 * 9 * 4
    assert read_manifest(out) == json.loads(json.dumps(manifest))
    assert sorted(os.listdir(tmp_path)) == ["o"]


def test_what_is_not_ours_is_never_replaced(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    go(source, out)
    (out / "img_dir/notes.txt").write_text("mine")
    before = tree(out)
    with pytest.raises(OutputError, match=r"1 files that were not made .*img_dir/notes\.txt"):
        go(source, out, RunOptions(workers=0, overwrite=True))
    assert tree(out) == before
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds files.*--overwrite"):
        go(source, tmp_path / "p")


def test_a_failing_run_leaves_the_old_set(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    go(source, out)
    before = tree(out)
    bad, _ = archives.make_potsdam(tmp_path / "bad", ["2_10", "4_12"])
    with pytest.raises(MmrsError, match="colours of no class"):
        go(bad, out, RunOptions(workers=0, overwrite=True), Options(labels="full", tile=32))
    assert tree(out) == before


def test_a_changed_tile_is_noticed(source: Path, tmp_path: Path) -> None:
    go(source, tmp_path / "o")
    tile = next((tmp_path / "o/ann_dir/train").glob("*.png"))
    tile.write_bytes(tile.read_bytes()[:-1])
    with pytest.raises(OutputError, match=r"missing or changed.*--overwrite"):
        go(source, tmp_path / "o")


def test_an_interrupted_run_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(source, tmp_path / "whole")
    done: list[str] = []
    cut_image = runner.cut_image

    def stops(job, *args):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.id)
        return cut_image(job, *args)

    monkeypatch.setattr(runner, "cut_image", stops)
    with pytest.raises(KeyboardInterrupt):
        go(source, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    partial = tmp_path / "o.partial"
    (partial / "img_dir/train/half.png").write_bytes(b"of a killed worker")
    journal = partial / ".journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"id": "2_13", "sta')
    # a finished tile that was lost makes its image be done again
    next((partial / "img_dir/train").glob("2_10_0_0_*.png")).unlink()
    again: list[str] = []
    monkeypatch.setattr(
        runner, "cut_image", lambda job, *a: (again.append(job.id), cut_image(job, *a))[1]
    )
    go(source, tmp_path / "o")
    assert again == ["2_10", "2_13"]
    assert tree(tmp_path / "o") == tree(tmp_path / "whole")
    assert not partial.exists()


def test_other_settings_start_afresh(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_manifest", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go(source, tmp_path / "o")
    assert (tmp_path / "o.partial").is_dir()
    go(source, tmp_path / "o", options=Options(tile=0))
    assert len(list((tmp_path / "o").rglob("*.png"))) == 3 * 2


def test_a_killed_process_leaves_no_half_file_and_no_half_set(tmp_path: Path) -> None:
    source = archives.make_loveda_zips(tmp_path / "zips", size=64, per_half=12)
    argv = [sys.executable, str(ROOT / "tools/prepare_dataset.py"), "loveda", str(source)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = tmp_path / "o"
    process = subprocess.Popen(
        [*argv, str(out), "--workers", "0"], env=env, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    journal = tmp_path / "o.partial/.journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_text().count("\n") > 4):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    prepare("loveda", source, out, None, HERE, tell=silent)
    prepare("loveda", source, tmp_path / "whole", None, HERE, tell=silent)
    assert tree(out).keys() == tree(tmp_path / "whole").keys()
    assert not [name for name in tree(out) if name.endswith(".part")]


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    source = archives.make_loveda_zips(tmp_path / "zips", size=64, per_half=12)
    script = (
        "import sys, time\n"
        "from mmrs.apis.prepare import runner\n"
        "from mmrs.apis.prepare.options import RunOptions\n"
        "if __name__ == '__main__':\n"
        "    note = runner.Staging.note\n"
        "    runner.Staging.note = lambda *a: (note(*a), time.sleep(60))\n"
        "    runner.prepare('loveda', sys.argv[1], sys.argv[2], None, RunOptions(workers=2))\n"
    )
    (tmp_path / "main.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(source), str(tmp_path / "o")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    journal = tmp_path / "o.partial/.journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_text().count("\n") > 1):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while left := [child for child in children if Path(f"/proc/{child}/maps").exists()
                   and Path(f"/proc/{child}/cmdline").read_bytes()]:  # fmt: skip
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def test_two_runs_do_not_meet(source: Path, tmp_path: Path) -> None:
    staging = Staging(tmp_path / "o", "key")
    with staging.opened(), pytest.raises(OutputError, match="another run is preparing"):
        go(source, tmp_path / "o")


def test_a_run_that_finished_meanwhile_is_not_replaced(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"
    opened = Staging.opened
    go(source, tmp_path / "other")

    def late(self):
        os.replace(tmp_path / "other", out)  # as another run does after our first look
        return opened(self)

    monkeypatch.setattr(Staging, "opened", late)
    with pytest.raises(OutputError, match=r"prepared with other settings|just prepared"):
        go(source, out, options=Options(tile=16))
    assert read_manifest(out)["options"] == {"tile": 32, "stride": 16}


def test_a_folder_of_the_users_is_never_cleared(source: Path, tmp_path: Path) -> None:
    for name in ("o.partial", "o.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"o\.partial: holds files that were not .* mine\.txt"):
        go(source, tmp_path / "o")
    assert (tmp_path / "o.partial/mine.txt").read_text() == "mine"
    (tmp_path / "o.partial/mine.txt").unlink()
    go(source, tmp_path / "o")
    assert (tmp_path / "o.replaced/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("call", [1, 2])
def test_a_kill_while_a_set_is_replaced_can_be_mended_by_the_same_command(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    out, other = tmp_path / "o", Options(tile=16)
    anew = RunOptions(workers=0, overwrite=True)
    go(source, out)
    replace, calls = os.replace, []

    def dies(first, second):
        replace(first, second)
        calls.append(second)
        if sum(Path(second).parent == tmp_path for second in calls) == call:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            go(source, out, anew, other)
    go(source, out, anew, other)
    assert sorted(os.listdir(tmp_path)) == ["o"]
    assert not [name for name in os.listdir(out) if name.startswith(".")]


def test_a_full_disk_is_told(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path, content):
        raise OutputError("cannot be written (No space left on device)", where=path)

    monkeypatch.setattr(cut, "write_whole", full)
    with pytest.raises(OutputError, match="No space left"):
        go(source, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(source / "Potsdam.zip" / "x", b"")


def test_out_inside_source_is_refused(source: Path) -> None:
    with pytest.raises(MmrsError, match="lies inside SOURCE"):
        go(source, source / "o")


@pytest.mark.parametrize(
    ("members", "limits", "told"),
    [
        ({"../evil.png": b"x"}, ArchiveLimits(), "leads out of the archive"),
        ({"a.png": b"x" * 100}, ArchiveLimits(max_bytes=10), "--max-size"),
    ],
)
def test_evil_archives_leave_nothing(
    tmp_path: Path, members: dict, limits: ArchiveLimits, told: str
) -> None:
    source = archives.write_files(tmp_path / "s", {"Train.zip": archives.zip_bytes(members)})
    with pytest.raises(DataError, match=told):
        prepare("loveda", source, tmp_path / "o", None, RunOptions(limits=limits), tell=silent)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file() and p.name[0] != "."] == [
        "Train.zip"
    ]


def test_each_pixel_is_owned_by_one_tile() -> None:
    plans = [
        plan_windows(37, 53, 16, 9),
        plan_windows(16, 16, 16, 16),
        plan_windows(5, 40, 16, 12),
        WindowPlan(40, 40, (0, 16), (0, 16), 16, 16),
    ]
    for plan in plans:
        owned = np.zeros((plan.height, plan.width), int)
        for window, (rows, cols) in zip(plan, own_parts(plan), strict=True):
            owned[window.slices][rows, cols] += 1
        covered = np.zeros_like(owned)
        for window in plan:
            covered[window.slices] = 1
        np.testing.assert_array_equal(owned, covered)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with ranges; the first answer breaks off where the server says so."""

    def do_GET(self) -> None:
        path = Path(self.directory, self.path.lstrip("/").partition("?")[0])
        if not path.is_file():
            return self.send_error(404)
        content, start = path.read_bytes(), 0
        given = self.headers.get("Range")
        self.server.asked.append(given)
        if given:
            start = int(given.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if given else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = self.server.breaks_at if not given and self.server.breaks_at else len(content)
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.server.HTTPServer]:
    (tmp_path / "served").mkdir()
    handler = functools.partial(_Handler, directory=str(tmp_path / "served"))
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as found:
        found.asked, found.breaks_at = [], None
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_files_are_fetched_checked_and_fetched_once(tmp_path: Path, server) -> None:
    content = bytes(range(256)) * 40
    (tmp_path / "served/Train.zip").write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    address = f"http://127.0.0.1:{server.server_port}/Train.zip?download=1"
    server.breaks_at = 3000
    with pytest.raises(DataError, match=r"connection broke.*run the same command again"):
        download([Download(address, "Train.zip", md5)], tmp_path / "got")
    assert (tmp_path / "got/Train.zip.part").stat().st_size == 3000
    (path,) = download([Download(address, "Train.zip", md5)], tmp_path / "got")
    assert path.read_bytes() == content
    assert server.asked == [None, "bytes=3000-"]
    download([Download(address, "Train.zip", md5)], tmp_path / "got")
    assert len(server.asked) == 2
    server.breaks_at = None
    with pytest.raises(DataError, match=f"has the MD5 {md5}, and its owner publishes 00"):
        download([Download(address, "other.zip", "00")], tmp_path / "got")
    assert sorted(os.listdir(tmp_path / "got")) == ["Train.zip"]


def test_a_place_that_cannot_be_reached_is_told(tmp_path: Path, server) -> None:
    address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(DataError, match="cannot be fetched"):
        download([Download(f"{address}/none", "none")], tmp_path)
    with pytest.raises(DataError, match="cannot be fetched"):
        download([Download("http://127.0.0.1:1/x", "x")], tmp_path)


def test_the_tool_prepares_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = archives.make_loveda_zips(tmp_path / "zips", per_half=1)
    argv = ["loveda", str(source), str(tmp_path / "o"), "--workers", "0"]
    assert run_tool("prepare_dataset", *argv) == 0
    shown = capsys.readouterr().out
    for word in ("CC BY-NC-SA", "agricultural", "skipped: 0", "pixels of unknown colours: 0"):
        assert word in shown
    assert run_tool("prepare_dataset", *argv) == 0
    assert "prepared already" in capsys.readouterr().out
    assert run_tool("prepare_dataset", "list") == 0
    assert "ISPRS Vaihingen" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "status", "told"),
    [
        (["lovedaa", "s", "o"], 2, "no data set 'lovedaa'. Fix: did you mean loveda?"),
        (["loveda", "s"], 2, "SOURCE and OUT are needed"),
        (["loveda", "no/such", "o"], 1, "no/such: no such file or folder"),
        (["loveda", "s", "o", "--dsm", "stack"], 2, "--dsm has no meaning for loveda"),
        (["potsdam", "s", "o", "--download"], 2, "is not given out to scripts. Fix: get it on"),
        (["generic", "s", "o", "--workers", "-1"], 2, "--workers must be >= 0, got -1"),
        (["generic", "s", "o", "--max-size", "nan"], 2, "--max-size must be > 0, got nan"),
        (["generic", "s", "o"], 1, "s: no such file or folder"),
    ],
)
def test_the_tool_tells_errors_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list, status: int, told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run_tool("prepare_dataset", *argv) == status
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and told in line
    assert os.listdir(tmp_path) == []
