"""The groups of keys, by counting who meets whom."""

import math

import pytest

from mmrs.ops.key_groups import key_order, separating_groups


@pytest.mark.parametrize("groups", range(1, 9))
@pytest.mark.parametrize("size", range(1, 9))
def test_keys_meet_as_few_images_of_their_querys_group_as_can_be(groups, size):
    order = key_order(groups, size).tolist()
    assert sorted(order) == list(range(groups * size))
    most = max(
        sum(other // size == image // size for other in order[start : start + size])
        for start in range(0, len(order), size)
        for image in order[start : start + size]
    )
    assert most == math.ceil(size / groups)


@pytest.mark.parametrize("batch", [1, 2, 4, 6, 16, 48, 64])
def test_separating_groups_leave_every_key_alone_with_strangers(batch):
    groups = separating_groups(batch)
    size = batch // groups
    order = key_order(groups, size).view(groups, size) // size
    # no two images of a group of keys come from one group of queries
    assert all(len(set(row)) == size for row in order.tolist())
    assert groups * size == batch


def test_numbers_of_groups_are_checked():
    with pytest.raises(ValueError, match="must be >= 1, got 0 groups of 2"):
        key_order(0, 2)
