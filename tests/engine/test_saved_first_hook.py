"""However few checkpoints are kept, one is whole while the next is written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub, MMLogger

from mmrs.engine import SavedFirstHook


class KilledError(Exception):
    pass


class Run:
    """A runner as the hook sees it; it may be killed in the middle of writing."""

    def __init__(self, folder: Path) -> None:
        self.work_dir = str(folder)
        self.logger = MMLogger.get_instance("saved_first")
        self.message_hub = MessageHub(f"saved_first_{folder}")
        self.model = SimpleNamespace()
        self.epoch, self.killed_at = 0, None
        self.lists: dict[int, list[int]] = {}

    def save_checkpoint(self, out_dir: str, name: str, *args, meta: dict, **kwargs) -> None:
        path = Path(out_dir, name)
        path.write_text("half")
        if meta["iter"] == self.killed_at:
            raise KilledError
        path.write_text("whole")
        if "keep_ckpt_ids" in self.message_hub.runtime_info:
            self.lists[meta["iter"]] = list(self.message_hub.get_info("keep_ckpt_ids"))

    def train(self, hook: CheckpointHook, steps: int) -> None:
        hook.before_train(self)
        for step in range(1, steps + 1):
            self.iter = step - 1
            hook._save_checkpoint(self)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.glob("*.pth"))}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_as_many_are_whole_as_are_kept_whenever_a_run_is_killed(tmp_path, keep):
    run = Run(tmp_path)
    run.killed_at = 6
    with pytest.raises(KilledError):
        run.train(SavedFirstHook(by_epoch=False, max_keep_ckpts=keep), 9)
    whole = [name for name, text in contents(tmp_path).items() if text == "whole"]
    assert whole == [f"iter_{step}.pth" for step in range(6 - keep, 6)]
    # where MMEngine's own leaves one fewer
    (tmp_path / "stock").mkdir()
    run = Run(tmp_path / "stock")
    run.killed_at = 6
    with pytest.raises(KilledError):
        run.train(CheckpointHook(by_epoch=False, max_keep_ckpts=keep), 9)
    assert list(contents(tmp_path / "stock").values()).count("whole") == keep - 1


@pytest.mark.parametrize("keep", [-1, 1, 2])
def test_in_the_end_the_same_are_left_and_listed_as_by_mmengines(tmp_path, keep):
    found = []
    for number, kind in enumerate((SavedFirstHook, CheckpointHook)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = Run(folder)
        run.train(kind(by_epoch=False, max_keep_ckpts=keep), 5)
        found.append((contents(folder), run.lists))
    assert found[0] == found[1]
    assert len(found[0][0]) == (5 if keep < 0 else keep)


def test_a_checkpoint_saved_twice_removes_none(tmp_path):
    run, hook = Run(tmp_path), SavedFirstHook(by_epoch=False, max_keep_ckpts=2)
    run.train(hook, 3)
    hook._save_checkpoint(run)  # as after a best score
    assert list(contents(tmp_path)) == ["iter_2.pth", "iter_3.pth"]
