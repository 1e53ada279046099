"""Collapse of self-supervised training is seen and said."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor

from mmrs.engine.hook_option import check_hook_option
from mmrs.errors import ConfigError
from mmrs.ops.embedding_spread import effective_rank, embedding_spread
from mmrs.registry import HOOKS


@HOOKS.register_module()
class EmbeddingSpreadHook(Hook):
    """Spread and effective rank of the latest embeddings; a warning where they collapse.

    Logged as ``spread`` (0 all the same, 1 even over the sphere) and ``effective_rank`` (1 to
    min(embeddings, dimensions)), over all processes. Embeddings are the model's
    ``last_embeddings``, of as many steps as are needed: a batch of 16 has a rank of 16 at most.

    Args:
        interval: Steps from one measurement to the next. Best the logger's, which repeats a value
            until there is another.
        num_embeddings: That a measurement takes, of all processes together; at least 2. Until
            there are so many, after the start and after a resume, nothing is measured: the rank
            of fewer is less, and would look like a fall.
        least_spread: Below it embeddings are collapsed, in [0, 1].
        least_rank: As ``least_spread``, for collapse to a few points or directions; 0 for never.
        patience: After so many collapsed measurements in a row there is a warning, once.

    Raises:
        ConfigError: A number is out of range.

    Source: SimSiam (arXiv 2011.10566), 4.1; RankMe (arXiv 2210.02885).
    """

    def __init__(
        self,
        *,
        interval: int = 100,
        num_embeddings: int = 512,
        least_spread: float = 0.1,
        least_rank: float = 1.5,
        patience: int = 5,
    ) -> None:
        check_hook_option("EmbeddingSpreadHook", "interval", interval, interval >= 1, ">= 1")
        good = num_embeddings >= 2
        check_hook_option("EmbeddingSpreadHook", "num_embeddings", num_embeddings, good, ">= 2")
        good = 0 <= least_spread <= 1
        check_hook_option("EmbeddingSpreadHook", "least_spread", least_spread, good, "in [0, 1]")
        check_hook_option("EmbeddingSpreadHook", "least_rank", least_rank, least_rank >= 0, ">= 0")
        check_hook_option("EmbeddingSpreadHook", "patience", patience, patience >= 1, ">= 1")
        self.interval = interval
        self.num_embeddings = num_embeddings
        self.least_spread = least_spread
        self.least_rank = least_rank
        self.patience = patience
        self.warned = False
        self._collapsed = 0
        self._kept: deque[Tensor] = deque()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep the embeddings of the step; measure where it is time.

        Raises:
            ConfigError: The model keeps no ``last_embeddings``.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        latest = getattr(model, "last_embeddings", None)
        if latest is None:
            raise ConfigError(
                f"{type(model).__name__} keeps no last_embeddings",
                where="custom_hooks: mmrs.EmbeddingSpreadHook",
                fix="take the hook out, or use an algorithm such as mmrs.MoCoV2",
            )
        self._keep(latest)
        if self.every_n_train_iters(runner, self.interval):
            self._measure(runner)

    def _keep(self, latest: Tensor) -> None:
        self._kept.append(latest)
        # the newest that are enough
        while sum(map(len, list(self._kept)[1:])) >= self._share():
            self._kept.popleft()

    def _share(self) -> int:
        return -(-self.num_embeddings // get_world_size())

    def _measure(self, runner: Any) -> None:
        if sum(map(len, self._kept)) < self._share():
            return
        embeddings = torch.cat(tuple(self._kept))
        if get_world_size() > 1:
            embeddings = torch.cat(all_gather(embeddings))
        spread, rank = embedding_spread(embeddings), effective_rank(embeddings)
        runner.message_hub.update_scalar("train/spread", spread)
        runner.message_hub.update_scalar("train/effective_rank", rank)
        # embeddings that are not finite are another failure, which the loss tells
        collapsed = spread < self.least_spread or rank < self.least_rank
        self._collapsed = self._collapsed + 1 if collapsed else 0
        if self._collapsed >= self.patience and not self.warned:
            self.warned = True
            if is_main_process():
                self._warn(runner, spread, rank)

    def _warn(self, runner: Any, spread: float, rank: float) -> None:
        print_log(
            f"embeddings have collapsed: spread {spread:.3f} (warned below {self.least_spread:g}), "
            f"effective rank {rank:.1f} (below {self.least_rank:g}) after {runner.iter + 1} steps, "
            f"{self._collapsed} measurements in a row. Try a lower learning rate, a warm-up, a "
            "key_momentum nearer 1, a longer queue, or bn_groups='auto'; and look whether the "
            "images differ at all",
            "current",
            logging.WARNING,
        )
