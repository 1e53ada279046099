"""Before the first step: a queue of keys fits the data set."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmrs.registry import HOOKS


@HOOKS.register_module()
class QueueLengthHook(Hook):
    """Lets an algorithm with a queue compare it with the data set.

    Only the runner knows both. ``tools/train.py`` adds this hook by itself; runs by another tool
    name it: ``custom_hooks=[dict(type='mmrs.QueueLengthHook')]``.
    """

    def before_train(self, runner: Any) -> None:
        """Compare.

        Raises:
            ConfigError: The queue is too long, with what to set.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loader = runner.train_dataloader
        batch_size = loader.batch_size or loader.batch_sampler.batch_size
        if hasattr(model, "check_queue"):
            model.check_queue(len(loader.dataset), batch_size * get_world_size())
