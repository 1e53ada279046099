"""Maps of several resolutions as one vector of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mmrs.errors import ConfigError
from mmrs.registry import MODELS


@MODELS.register_module()
class MultiScalePool(BaseModule):
    """Global average of each map of a backbone, one after the other.

    Every branch of a multi-resolution backbone, the finest too, gets a gradient of its own. It
    has no parameters; a projection such as MMPreTrain's ``MoCoV2Neck`` may follow
    (``with_avg_pool=False``, ``in_channels`` the sum of the maps').

    Args:
        in_index: Which maps, in which order; all by default.

    Shapes: maps (B, C_i, H_i, W_i) -> (B, sum of C_i).

    Raises:
        ConfigError: ``in_index`` is empty.
    """

    def __init__(self, *, in_index: Sequence[int] | None = None) -> None:
        super().__init__()
        if in_index is not None and not in_index:
            raise ConfigError(
                "no map is chosen", where="MultiScalePool.in_index", fix="name one, or leave it out"
            )
        self.in_index = None if in_index is None else tuple(in_index)

    def forward(self, maps: Sequence[Tensor] | Tensor) -> Tensor:
        """Pool and concatenate; a single map needs no list.

        Raises:
            ConfigError: ``in_index`` names a map that the backbone does not give.
        """
        if isinstance(maps, Tensor):
            maps = [maps]
        chosen = range(len(maps)) if self.in_index is None else self.in_index
        wrong = [index for index in chosen if not -len(maps) <= index < len(maps)]
        if wrong:
            raise ConfigError(
                f"index {wrong[0]}, but the backbone gives {len(maps)} maps",
                where="MultiScalePool.in_index",
                fix=f"choose from 0 to {len(maps) - 1}",
            )
        # in float32: a mean over many pixels loses digits in half precision
        return torch.cat([maps[i].flatten(2).float().mean(dim=2) for i in chosen], dim=1)
