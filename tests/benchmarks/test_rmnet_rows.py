"""RMNet's rows at CPU size: like sizes, one switch apart."""

import pytest

from benchmarks.real.models import build, num_parameters
from benchmarks.real.papers.rmnet import ROWS, config_of


def test_rows_differ_in_the_papers_two_switches():
    configs = {row: config_of(row, 5) for row in ROWS if row != "unet"}
    switches = {
        row: (config["backbone"].pop("residual"), config["neck"].pop("upsampling"))
        for row, config in configs.items()
    }
    assert switches == {
        "cnet": (False, "plain"),
        "cnet_rbm": (True, "plain"),
        "cnet_msfm": (False, "msfm"),
        "rmnet": (True, "msfm"),
    }
    assert all(config == configs["rmnet"] for config in configs.values())


def test_sizes_are_those_of_a_cpu_and_the_baselines_within_a_fifth_of_ours():
    sizes = {row: num_parameters(build(config_of(row, 5))) for row in ROWS}
    assert 0.2e6 < min(sizes.values()) and max(sizes.values()) < 0.5e6
    assert 0.8 < sizes["unet"] / sizes["rmnet"] < 1.2
    assert sizes["cnet"] < min(sizes["cnet_rbm"], sizes["cnet_msfm"]) < sizes["rmnet"]


def test_all_rows_share_the_loss_and_an_unknown_row_is_refused():
    assert {config_of(row, 3)["decode_head"]["loss_decode"]["type"] for row in ROWS} == {
        "mmrs.DiceFocalLoss"
    }
    with pytest.raises(ValueError, match=r"row must be one of .*, got 'base'"):
        config_of("base", 3)
