"""Every checkpoint says on which bands its model was trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook

from mmrs.registry import HOOKS


@HOOKS.register_module()
class ChannelContractHook(Hook):
    """Writes the channel contract of a run into the meta of its checkpoints.

    ``tools/train.py`` adds it by itself, with what config and data say. A run by MMSegmentation's
    own tools names it in ``custom_hooks`` and gives the contract.

    Args:
        contract: Bands, type, scaling and ground sampling distance: plain values, see
            ``docs/channels.md``.

    Raises:
        ValueError: The contract is empty.
    """

    def __init__(self, *, contract: Mapping[str, Any]) -> None:
        if not contract:
            raise ValueError("contract must say at least the number of bands, got nothing")
        self.contract = dict(contract)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add ``meta['channel_contract']``."""
        checkpoint.setdefault("meta", {})["channel_contract"] = copy.deepcopy(self.contract)
