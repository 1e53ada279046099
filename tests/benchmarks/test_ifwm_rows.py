"""IFWM's ablation at CPU size: one HRNet, and what its upward paths hold."""

import copy

import pytest
import torch
from mmseg.utils import register_all_modules

from benchmarks.real.models import num_parameters
from benchmarks.real.papers.ifwm import ROWS, config_of


def build_backbone(row: str):
    register_all_modules(init_default_scope=True)
    from mmseg.registry import MODELS  # after registration

    with torch.device("meta"):
        return MODELS.build(config_of(row, num_classes=5)["backbone"])


def test_rows_differ_in_the_backbones_type_and_variant_alone():
    configs = {row: copy.deepcopy(config_of(row, 5)) for row in ROWS}
    kinds = {
        row: (config["backbone"].pop("type"), config["backbone"].pop("variant", None))
        for row, config in configs.items()
    }
    assert next(iter(ROWS)) == "hrnet"
    assert kinds.pop("hrnet") == ("HRNet", None)
    assert kinds == {row: ("mmrs.IFWHRNet", row) for row in ROWS if row != "hrnet"}
    assert all(config == configs["hrnet"] for config in configs.values())


def test_flows_add_what_the_width_says_and_little():
    sizes = {row: num_parameters(build_backbone(row)) for row in ROWS}
    # 20 C + 2 (60 + 100) C + (140 + 300 + 452) C at C = 6, stages of 1, 2 and 1 modules
    assert sizes["ifwm"] - sizes["hrnet"] == 6 * (20 + 2 * 160 + 892)
    assert all(
        0 < size / sizes["hrnet"] - 1 < 0.06 for row, size in sizes.items() if row != "hrnet"
    )


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match=r"row must be one of .*, got 'fam'"):
        config_of("fam", 5)
