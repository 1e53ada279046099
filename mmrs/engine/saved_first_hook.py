"""The oldest checkpoint is deleted when the newest is there, not before."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from mmrs.registry import HOOKS


@HOOKS.register_module()
class SavedFirstHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, with ``max_keep_ckpts`` of them left at any moment.

    The stock one deletes first: with ``max_keep_ckpts=1`` a run that is killed while it saves has
    no checkpoint at all. Mmrs' tools take this one where a config names the stock one; while it
    saves there is one more on the disk.
    """

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                # the checkpoint itself holds the list of those that are kept
                outdated = self.keep_ckpt_ids.popleft()
        super()._save_checkpoint_with_step(runner, step, meta)
        if outdated is not None and is_main_process():
            name = self.filename_tmpl.format(outdated)
            path = self.file_backend.join_path(self.out_dir, name)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
