"""Before the first step: the order of the samples and their augmentation go together."""

from __future__ import annotations

from typing import Any

from mmrs.apis.guarded_pipeline import leaf_datasets
from mmrs.datasets.visits import VisitedMixin, VisitSampler
from mmrs.errors import ConfigError


def check_visits(loader: Any) -> None:
    """Compare the sampler of a data loader with its data set.

    Args:
        loader: A ``DataLoader``, or what stands for one.

    Raises:
        ConfigError: Each visit of an image would be augmented alike, or the sampler's numbers are
            beyond what the data set knows, which would end the run after the first visit of all.
    """
    # with a batch sampler the loader's own one is never asked
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    dataset = getattr(loader, "dataset", None)
    if isinstance(sampler, VisitSampler):
        if not isinstance(dataset, VisitedMixin):
            raise ConfigError(
                f"mmrs.VisitSampler counts visits, which {type(dataset).__name__} knows nothing of",
                where="train_dataloader.sampler.type",
                fix="take one data set, without a wrapper; or InfiniteSampler, and leave the "
                "data sets' seed out",
            )
        return
    for leaf in leaf_datasets(dataset):
        if isinstance(leaf, VisitedMixin) and leaf.seed is not None:
            raise ConfigError(
                f"{type(sampler).__name__} counts no visits, and with seed={leaf.seed} what is "
                "drawn for an image depends on its visit alone: all would be the same",
                where="train_dataloader.sampler.type",
                fix="use mmrs.VisitSampler, or set the data set's seed=None",
            )
