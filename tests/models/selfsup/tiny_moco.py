"""A MoCo of a few hundred parameters, and batches whose pictures say which image they are of."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmrs.models.necks.multi_scale_pool import MultiScalePool
from mmrs.models.selfsup import MoCoV2


class TinyNet(nn.Module):
    """Two maps of two resolutions; remembers which images went through it together."""

    def __init__(self, norm: str = "none") -> None:
        super().__init__()
        norms = {
            "none": nn.Identity,
            "BN": lambda: nn.BatchNorm2d(4),
            "SyncBN": lambda: nn.SyncBatchNorm(4),
            "GN": lambda: nn.GroupNorm(2, 4),
        }
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), norms[norm](), nn.GELU())
        self.second = nn.Conv2d(4, 6, 3, stride=2)
        self.seen: list[list[int]] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        # the corner of a picture holds the number of its image
        self.seen.append(images[:, 0, 0, 0].int().tolist())
        fine = self.first(images)
        return [fine, self.second(fine)]


class TinyProjector(nn.Module):
    """Takes and gives tuples, as MMPreTrain's necks do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(10, 5)

    def forward(self, features: tuple[Tensor]) -> tuple[Tensor]:
        return (self.linear(features[0]),)


def make_moco(*, norm: str = "none", seed: int = 0, **options: Any) -> MoCoV2:
    torch.manual_seed(seed)
    settings = {"queue_len": 5, "feat_dim": 5, "key_momentum": 0.9, **options}
    model = MoCoV2(
        backbone={"type": TinyNet, "norm": norm},
        neck={"type": MultiScalePool},
        projector={"type": TinyProjector},
        **settings,
    )
    return model.train()


def make_views(ids: list[int], *, seed: int) -> tuple[list[Tensor], list[BaseDataElement]]:
    """Two noisy views of each image, (N, 3, 8, 8) each, and samples that name the images."""
    generator = torch.Generator().manual_seed(seed)
    views = []
    for _ in range(2):
        view = torch.randn(len(ids), 3, 8, 8, generator=generator)
        view[:, 0, 0, 0] = torch.tensor(ids).float()
        views.append(view)
    return views, [BaseDataElement(metainfo={"image_id": i}) for i in ids]
