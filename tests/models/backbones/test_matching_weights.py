"""What to do without the weights of a file is told as it is typed."""

from urllib.error import URLError

import pytest
import torch
from torch import nn

from mmrs.errors import CheckpointError
from mmrs.models.backbones import matching_weights
from mmrs.models.backbones.matching_weights import load_matching_weights

RANDOM_START = r"start from random .*: --cfg-options model\.backbone\.init_cfg=None$"


def test_without_a_network_the_random_start_is_told(monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(matching_weights.CheckpointLoader, "load_checkpoint", offline)
    with pytest.raises(CheckpointError, match=RANDOM_START):
        load_matching_weights(nn.Conv2d(1, 1, 1), "torchvision://resnet50")


def test_where_nothing_matches_the_random_start_is_told(tmp_path):
    torch.save({"other": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=RANDOM_START):
        load_matching_weights(nn.Conv2d(1, 1, 1), str(tmp_path / "w.pth"))
