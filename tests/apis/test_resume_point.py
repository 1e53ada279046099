"""Where a killed run goes on: the latest whole checkpoint, whatever its folder was left like."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmrs.apis.resume_point import find_resume_point, is_whole
from mmrs.apis.train import train
from mmrs.errors import CheckpointError
from tests.apis.tiny_run import write_config


def content(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"weight": torch.full((50,), float(number))}}, buffer)
    return buffer.getvalue()


def save(path: Path, *, at: int, part: float = 1.0) -> Path:
    """A checkpoint, or half of one, of a given time (seconds)."""
    found = content()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(found[: int(len(found) * part)])
    os.utime(path, (at, at))
    return path


def point(folder: Path, told: str | bytes, *, at: int) -> None:
    pointer = folder / "last_checkpoint"
    pointer.write_bytes(told if isinstance(told, bytes) else told.encode())
    os.utime(pointer, (at, at))


def test_a_checkpoint_saved_after_the_pointer_is_the_latest(tmp_path):
    """Killed between the two: nothing of the interval need be lost."""
    first, second = save(tmp_path / "iter_2.pth", at=10), save(tmp_path / "iter_4.pth", at=20)
    point(tmp_path, str(first), at=11)
    assert find_resume_point(tmp_path) == second
    save(second, at=20, part=0.7)
    assert find_resume_point(tmp_path) == first


def test_a_pointer_that_was_led_back_on_purpose_is_followed(tmp_path):
    first = save(tmp_path / "iter_2.pth", at=10)
    save(tmp_path / "iter_4.pth", at=20)
    point(tmp_path, str(first), at=30)
    assert find_resume_point(tmp_path) == first


def test_a_moved_folder_and_files_of_any_age_are_found_by_the_pointer(tmp_path):
    save(tmp_path / "iter_2.pth", at=90)
    last = save(tmp_path / "iter_4.pth", at=80)
    point(tmp_path, "/elsewhere/iter_4.pth", at=70)
    assert find_resume_point(tmp_path) == last


def test_checkpoints_of_another_folder_are_found(tmp_path):
    """`out_dir` of MMEngine's hook: half a file there is passed over too."""
    first = save(tmp_path / "out" / "run" / "iter_2.pth", at=10)
    second = save(tmp_path / "out" / "run" / "iter_4.pth", at=20)
    (tmp_path / "run").mkdir()
    point(tmp_path / "run", str(second), at=21)
    assert find_resume_point(tmp_path / "run") == second
    save(second, at=20, part=0.5)
    assert find_resume_point(tmp_path / "run") == first


def test_killed_in_its_first_checkpoint_a_run_begins_again(tmp_path, capsys):
    save(tmp_path / "iter_2.pth", at=10, part=0.5)
    assert find_resume_point(tmp_path) is None
    assert "iter_2.pth: only part of it was saved" in capsys.readouterr().out


def test_checkpoints_that_are_gone_or_all_damaged_are_no_beginning(tmp_path):
    point(tmp_path, "work/iter_4.pth", at=10)
    with pytest.raises(CheckpointError, match=r"it names work/iter_4.pth, which is not there"):
        find_resume_point(tmp_path)
    save(tmp_path / "iter_4.pth", at=10, part=0.5)
    with pytest.raises(CheckpointError, match=r"none of 1 checkpoints is whole"):
        find_resume_point(tmp_path)


@pytest.mark.parametrize("told", [b"", b"\0" * 40, b"\xff\xfe\x00\x80", b"x" * 5000])
def test_a_pointer_of_anything_does_not_matter(tmp_path, told):
    save(tmp_path / "iter_2.pth", at=10)
    last = save(tmp_path / "iter_4.pth", at=20)
    point(tmp_path, told, at=30)
    assert find_resume_point(tmp_path) == last


def test_cut_and_changed_files_are_told_apart_and_never_raise(tmp_path):
    whole, path, rng = content(), tmp_path / "iter_2.pth", random.Random(0)
    path.write_bytes(whole)
    assert is_whole(path)
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        assert not is_whole(path), length
    passed = 0
    for _ in range(600):
        changed = bytearray(whole)
        place = rng.randrange(len(whole))
        changed[place] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        # in padding and dates a bit changes nothing that is loaded
        if is_whole(path):
            passed += 1
            loaded = torch.load(path, weights_only=True)["state_dict"]["weight"]
            assert torch.equal(loaded, torch.zeros(50)), place
    assert passed < 300


def test_a_resumed_run_does_not_go_back_to_where_it_began(data, capsys):
    """The config's `load_from`, and the copy of the config that a resumed run leaves."""
    config = write_config(data, train_cfg__max_iters=2)
    train(config, work_dir=data / "first")
    start = str(data / "first" / "iter_2.pth")
    work = data / "second"
    config = write_config(data, load_from=start)
    train(config, work_dir=work, cfg_options={"train_cfg.max_iters": 2})
    more = {"train_cfg.max_iters": 4, "default_hooks.checkpoint.interval": 2}
    capsys.readouterr()
    runner = train(config, work_dir=work, resume=True, cfg_options=more)
    out = capsys.readouterr().out
    assert f"going on from {work / 'iter_2.pth'}; load_from, {start}, is where" in out
    assert runner.iter == 4 and "Iter(train) [3/4]" in out
    # the copy names no checkpoint of this run, so it resumes from the latest, too
    copied = work / "tiny.py"
    assert Config.fromfile(copied).load_from == start
    runner = train(copied, work_dir=work, resume=True, cfg_options={"train_cfg.max_iters": 5})
    assert "Iter(train) [5/5]" in capsys.readouterr().out
    # what the command line names is what is meant
    given = {"train_cfg.max_iters": 3, "load_from": start}
    train(config, work_dir=work, resume=True, cfg_options=given)
    assert "Iter(train) [3/3]" in capsys.readouterr().out


def test_weights_alone_are_nothing_to_go_on_from(data):
    config = write_config(data)
    train(config, work_dir=data / "first")
    saved = torch.load(data / "first" / "iter_2.pth", weights_only=False)
    torch.save({"state_dict": saved["state_dict"]}, data / "weights.pth")
    options = {"load_from": str(data / "weights.pth")}
    with pytest.raises(CheckpointError, match=r"weights.pth: it holds weights alone.* --resume"):
        train(config, work_dir=data / "second", resume=True, cfg_options=options)
