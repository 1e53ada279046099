"""edge_distance and edge_weight: two SciPy transforms a cell."""

import numpy as np
import torch

from mmrs.ops.edge_distance import edge_distance, edge_weight
from tests import oracles


def test_distances_of_a_partition_equal_two_transforms_a_cell():
    generator = np.random.default_rng(0)
    label = generator.integers(0, 4, (2, 3, 3)).repeat(5, axis=1).repeat(4, axis=2)
    valid = generator.random(label.shape) > 0.2
    cells = np.stack([(label == k) & valid for k in range(4)], axis=1)
    out = edge_distance(torch.from_numpy(cells)).numpy()
    for i in range(2):
        for k in range(4):
            expected = oracles.edge_distance(label[i] == k, valid[i], np.inf)
            np.testing.assert_array_equal(out[i, k][valid[i]], expected[valid[i]])


def test_an_ignored_pixel_is_neither_source_nor_boundary():
    # class 1 on the left, a wall of ignored pixels, class 0 on the right
    target = torch.zeros(1, 1, 9, dtype=torch.long)
    target[..., :3] = 1
    target[..., 3:6] = 255
    cells = torch.stack([target == 1, target == 0], dim=1)
    distance = edge_distance(cells)[0, 0, 0]
    # 6 is the first background pixel; 2 the last of the class: four steps apart
    assert distance[2] == 4 and distance[6] == 4 and distance[0] == 6


def test_the_weight_is_the_capped_distance_to_a_power():
    mask = torch.zeros(1, 1, 2, 9, dtype=torch.bool)
    mask[..., 0] = True
    valid = torch.ones(1, 2, 9, dtype=torch.bool)
    # the distances along a row are 1 (inside), 1, 2, ... 8
    distance = torch.tensor([1, 1, 2, 3, 4, 4, 4, 4, 4]) / 4
    for power in (1.0, 2.0, 0.5):
        weight = edge_weight(mask, valid, cap_px=4, power=power)
        torch.testing.assert_close(weight, distance.pow(power).expand_as(weight))
    assert (edge_weight(~valid[:, None], valid, cap_px=4, power=2) == 1).all()
