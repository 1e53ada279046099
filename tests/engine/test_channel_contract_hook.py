"""What a run was trained on goes into every checkpoint, as plain values."""

from __future__ import annotations

import io

import pytest
import torch

from mmrs.engine import ChannelContractHook
from mmrs.registry import HOOKS


def test_the_contract_is_in_the_meta_and_stays_the_runs_own() -> None:
    contract = {"bands": 4, "gsd_m": (0.3, 0.3), "scaling": {"kind": "minmax"}}
    hook = ChannelContractHook(contract=contract)
    checkpoint = {"meta": {"iter": 2}}
    hook.before_save_checkpoint(None, checkpoint)
    assert checkpoint["meta"] == {"iter": 2, "channel_contract": contract}
    checkpoint["meta"]["channel_contract"]["scaling"]["kind"] = "meanstd"
    bare: dict = {}
    hook.before_save_checkpoint(None, bare)
    assert bare["meta"]["channel_contract"] == contract
    buffer = io.BytesIO()
    torch.save(bare, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True) == bare


def test_it_is_found_by_its_name_and_needs_a_contract() -> None:
    hook = HOOKS.build({"type": "mmrs.ChannelContractHook", "contract": {"bands": 3}})
    assert hook.contract == {"bands": 3}
    with pytest.raises(ValueError, match="contract must say"):
        ChannelContractHook(contract={})
