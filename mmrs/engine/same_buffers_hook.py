"""Every process evaluates the model that the first one saves."""

from __future__ import annotations

from typing import Any

from mmengine.dist import broadcast, get_world_size
from mmengine.hooks import Hook

from mmrs.registry import HOOKS


@HOOKS.register_module()
class SameBuffersHook(Hook):
    """Before each evaluation, give every process the buffers of the first.

    Parameters stay equal by their gradients, but the running statistics of an unsynchronised
    BatchNorm follow each process's own images: without this, an evaluation over N processes
    mixes N models, and none of its scores is that of the checkpoint.
    """

    def before_val(self, runner: Any) -> None:
        """Broadcast the buffers of rank 0."""
        if get_world_size() > 1:
            for buffer in runner.model.buffers():
                broadcast(buffer, src=0)
