"""Maps of several resolutions become the averages of each, one after the other."""

import pytest
import torch

from mmrs.errors import ConfigError
from mmrs.models.necks import MultiScalePool


def maps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, c, 9 - c, 5, generator=generator) for c in (3, 1, 4)]


def test_each_map_is_averaged_by_itself():
    found = MultiScalePool()(maps())
    slow = [[float(channel.mean()) for m in maps() for channel in m[i]] for i in range(2)]
    torch.testing.assert_close(found, torch.tensor(slow))


def test_maps_may_be_chosen_and_a_single_one_needs_no_list():
    whole = MultiScalePool()(maps())
    assert torch.equal(MultiScalePool(in_index=(2, 0))(maps()), whole[:, [4, 5, 6, 7, 0, 1, 2]])
    assert torch.equal(MultiScalePool()(maps()[0]), whole[:, :3])


def test_half_precision_is_averaged_in_float32():
    big = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)
    assert MultiScalePool()([big]).item() == 300


def test_wrong_maps_are_told():
    with pytest.raises(ConfigError, match=r"index 3, but the backbone gives 3 maps. Fix: choose"):
        MultiScalePool(in_index=(3,))(maps())
    with pytest.raises(ConfigError, match="no map is chosen"):
        MultiScalePool(in_index=())


def test_maps_may_be_counted_from_the_last():
    assert torch.equal(
        MultiScalePool(in_index=(-1,))(maps()), MultiScalePool(in_index=(2,))(maps())
    )
    with pytest.raises(ConfigError, match=r"index -4, but the backbone gives 3 maps. Fix: choose"):
        MultiScalePool(in_index=(0, -4))(maps())
