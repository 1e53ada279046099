"""Overlap search and split by scene, on generated ground whose overlaps are known."""

import numpy as np
import pytest
import torch

from benchmarks.real.make_splits import overlaps_by_address, scene_of
from benchmarks.real.scenes import (
    Overlap,
    find_overlaps,
    group,
    high_pass,
    orient,
    pairs_of_equal,
    rescore,
    split_groups,
)

SIZE = 32


@pytest.fixture(scope="module")
def ground() -> torch.Tensor:
    """Five unrelated grounds, each larger than a picture."""
    noise = torch.rand(5, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, (80, 80), mode="bicubic")[:, 0] * 200


def search(pictures: list[torch.Tensor], threshold: float = 0.6) -> dict[tuple[int, int], Overlap]:
    detail = high_pass(torch.stack(pictures), SIZE, blur_px=5)
    found = find_overlaps(detail, threshold=threshold, min_shared_ratio=0.15, orientations=range(8))
    return {(o.first, o.second): o for o in found}


def crop(ground: torch.Tensor, top: int, left: int) -> torch.Tensor:
    return ground[top : top + 64, left : left + 64]


def test_unrelated_pictures_do_not_match(ground):
    assert search([crop(g, 0, 0) for g in ground]) == {}


@pytest.mark.parametrize("orientation", range(8))
def test_copies_match_in_every_orientation(ground, orientation):
    pictures = [crop(ground[0], 0, 0), crop(ground[1], 0, 0)]
    pictures.append(orient(pictures[0], orientation))
    found = search(pictures)
    assert set(found) == {(0, 2)}
    assert found[0, 2].score > 0.99
    assert found[0, 2].shared_ratio == pytest.approx(1.0, abs=1e-3)


def test_a_darker_copy_still_matches(ground):
    picture = crop(ground[0], 0, 0)
    assert search([picture, 0.5 * picture + 10])[0, 1].score > 0.99


def test_shifted_pictures_match_with_the_area_they_share(ground):
    # 16 of 64 px down and right leave (48 / 64)^2 in common
    found = search([crop(ground[0], 0, 0), crop(ground[0], 16, 16)])
    assert found[0, 1].score > 0.9
    assert found[0, 1].shared_ratio == pytest.approx(0.75**2, abs=0.02)


def test_a_flat_part_matches_nothing(ground):
    cloud = crop(ground[0], 0, 0).clone()
    cloud[:, :40] = 255.0
    other = crop(ground[1], 0, 0).clone()
    other[:, 24:] = 255.0
    assert search([cloud, other]) == {}


def test_rescoring_keeps_what_the_search_found(ground):
    pictures = torch.stack([crop(ground[0], 0, 0), orient(crop(ground[0], 8, 0), 3)])
    coarse = search(list(pictures))[0, 1]
    (fine,) = rescore(high_pass(pictures, 64), [coarse], min_shared_ratio=0.15)
    assert (fine.first, fine.second, fine.orientation) == (0, 1, coarse.orientation)
    assert fine.score > 0.9


def test_groups_are_the_connected_components():
    assert group(6, [(0, 3), (4, 3), (1, 2)]) == [0, 1, 1, 0, 0, 5]


def test_equal_keys_link_and_none_links_nothing():
    assert group(5, pairs_of_equal(["a", None, "b", "a", None])) == [0, 1, 2, 0, 4]


def test_a_split_never_cuts_a_group_and_reaches_the_share():
    rng = np.random.default_rng(0)
    groups = [int(g) for g in rng.integers(0, 20, 100)]
    class_px = rng.integers(1, 100, (100, 3))
    in_val = split_groups(groups, class_px, val_ratio=0.2, seed=0, num_draws=200)
    for g in set(groups):
        assert len({v for v, other in zip(in_val, groups, strict=True) if other == g}) == 1
    assert 0.15 <= np.mean(in_val) <= 0.25


def test_a_split_keeps_a_rare_class_on_both_sides():
    groups = list(range(50))
    class_px = np.ones((50, 2), dtype=int)
    class_px[:, 1] = 0
    class_px[:10, 1] = 100
    in_val = np.array(split_groups(groups, class_px, val_ratio=0.2, seed=0))
    assert class_px[in_val, 1].sum() == 200


def test_a_split_depends_on_nothing_but_its_seed():
    arguments = (list(range(30)), np.ones((30, 2), dtype=int))
    first, again, other = (
        split_groups(*arguments, val_ratio=0.2, seed=seed, num_draws=5) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_share_outside_0_1_is_refused():
    with pytest.raises(ValueError, match="val_ratio must be in"):
        split_groups([0, 1], np.ones((2, 1)), val_ratio=1.0, seed=0)


def test_chips_share_ground_where_one_lies_inside_the_other():
    names = ["z/OAM-10-20-20", "z/OAM-21-40-21", "z/OAM-22-40-21", "k/OAM-10-20-20"]
    found = {(o.first, o.second, o.shared_ratio) for o in overlaps_by_address(names)}
    # tile (21, 40) of zoom 21 is the upper right quarter of tile (10, 20) of zoom 20
    assert found == {(0, 1, 0.25), (1, 3, 0.25), (0, 3, 1.0)}


def test_chips_of_two_zooms_over_one_block_are_one_scene():
    scenes = [scene_of("oam_buildings", f"z/OAM-{place}") for place in ("43-87-20", "87-175-21")]
    assert scenes == ["z-10-21", "z-10-21"]
    assert scene_of("oam_buildings", "z/OAM-44-87-20") == "z-11-21"
