"""A seed for each visit needs a sampler that counts visits, and the reverse."""

from __future__ import annotations

import pytest
from mmengine.dataset import ConcatDataset, InfiniteSampler, RepeatDataset
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader

from mmrs.apis.checks.visit_check import check_visits
from mmrs.datasets import MillionAIDDataset, VisitSampler
from mmrs.errors import ConfigError


@pytest.fixture
def pictures(tmp_path):
    Image.new("RGB", (16, 8)).save(tmp_path / "p.png")
    return str(tmp_path)


def squares(pictures, seed):
    return MillionAIDDataset(data_root=pictures, size=8, seed=seed)


def loader(dataset, sampler):
    return DataLoader(dataset, batch_size=2, sampler=sampler(dataset, seed=0))


@pytest.mark.parametrize("seed", [None, 0])
def test_a_sampler_of_visits_serves_data_sets_that_know_them(pictures, seed):
    check_visits(loader(squares(pictures, seed), VisitSampler))


def test_samples_drawn_anew_need_no_visits(pictures):
    check_visits(loader(squares(pictures, None), InfiniteSampler))
    check_visits(loader([1, 2, 3], InfiniteSampler))


@pytest.mark.parametrize("wrapper", [lambda found: found, lambda found: RepeatDataset(found, 2)])
def test_visits_that_would_all_be_the_same_are_refused(pictures, wrapper):
    dataset = wrapper(squares(pictures, 0))
    with pytest.raises(ConfigError, match=r"InfiniteSampler counts no visits, and with seed=0 .*"):
        check_visits(loader(dataset, InfiniteSampler))
    # the sampler of a batch sampler is the one that counts
    batches = BatchSampler(InfiniteSampler(dataset, seed=0), 2, drop_last=True)
    with pytest.raises(ConfigError, match=r"Fix: use mmrs.VisitSampler, or set the data set's"):
        check_visits(DataLoader(dataset, batch_sampler=batches))


@pytest.mark.parametrize(
    "wrapper", [lambda found: RepeatDataset(found, 2), lambda found: ConcatDataset([found, found])]
)
def test_wrappers_that_know_no_visits_are_refused(pictures, wrapper):
    with pytest.raises(ConfigError, match=r"counts visits, which \w+Dataset knows nothing of"):
        check_visits(loader(wrapper(squares(pictures, 0)), VisitSampler))
