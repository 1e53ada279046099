"""The dilated-SPP ablation at CPU size: two parts, each alone and both, beside DeepLabV3+."""

import pytest
import torch
from mmseg.utils import register_all_modules

from benchmarks.real.models import num_parameters
from benchmarks.real.papers.dilated_spp import ROWS, STITCHED, config_of
from tests.configs.small import load


def build(row: str):
    register_all_modules(init_default_scope=True)
    from mmseg.registry import MODELS  # after registration

    with torch.device("meta"):
        return MODELS.build(config_of(row, num_classes=5))


def test_rows_have_the_parts_that_the_full_size_ablation_has():
    assert next(iter(ROWS)) == "deeplabv3plus"
    for row in ROWS:
        small, full = config_of(row, 5), load(f"dilated_spp/ablation/{row}.py")
        assert small["decode_head"]["type"] == full.model.decode_head.type
        assert small.get("neck", {}).get("type") == (full.model.neck or {}).get("type")
        for key in ("strides", "dilations"):
            assert tuple(small["backbone"][key]) == tuple(full.model.backbone[key])
        doubled = full.train_dataloader.dataset.type == "mmrs.CropAndStitchDataset"
        assert (row in STITCHED) == doubled


def test_stitching_is_all_that_sets_both_apart_from_sub_pixel():
    assert config_of("both", 5) == config_of("sub_pixel", 5)
    bilinear, both = config_of("augmentation", 5), config_of("both", 5)
    assert {key for key in both if both[key] != bilinear[key]} == {"decode_head"}


def test_the_sub_pixel_head_adds_its_filters_alone():
    sizes = {row: num_parameters(build(row)) for row in ROWS}
    # a 1x1 from 32 channels: 16 x 16 x 5 filters without bias for 5 with
    assert sizes["both"] - sizes["augmentation"] == 32 * 16 * 16 * 5 - (32 * 5 + 5)
    assert all(0.2e6 < size < 0.5e6 for size in sizes.values())


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match=r"row must be one of .*, got 'mixup'"):
        config_of("mixup", 5)
