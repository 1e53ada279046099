"""MoCo v2: a query encoder, its slow copy that makes the keys, and a queue of keys."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmrs.errors import ConfigError
from mmrs.models.selfsup.image_ids import image_ids
from mmrs.models.selfsup.step_watch import StepWatch
from mmrs.ops.info_nce import (
    contrast_logits,
    discrimination_accuracy,
    enqueue,
    info_nce,
    own_keys,
)
from mmrs.ops.key_groups import key_order, separating_groups
from mmrs.registry import MODELS

_PARTS = ("backbone", "neck", "projector")


@MODELS.register_module()
class MoCoV2(BaseModel):
    """MoCo v2 with any backbone, in place of MMPreTrain's ``MoCo`` and in its runs.

    It takes the config parts, batches and data samples of MMPreTrain's algorithms. It is no
    subclass of them: of ``MoCo`` only the constructor's order would be left, and importing
    ``BaseSelfSupervisor`` loads all of MMPreTrain with every segmentation model. What ``MoCo``
    does otherwise, and why not here:

    - its queue holds no ids, so an image's own earlier keys count as its negatives;
    - the queue's length must be a multiple of the batch, told by an assert without words;
    - its ``momentum`` is 1 - m; here ``key_momentum`` is m of eq. 11, k <- m k + (1 - m) q;
    - under gradient accumulation it averages at each of the small steps, which makes m another
      number: here the keys follow once after each change of the query encoder's weights;
    - it overwrites the key encoder's running statistics with the query encoder's, which belong
      to other weights. Here they are its own: as in MoCo's code, they start as a copy and then
      follow the batches of keys that pass through it. Training uses neither, but batch statistics;
    - without several processes its batch shuffle does nothing, and the two views of a batch share
      their BatchNorm statistics, which gives the positive away (``bn_groups``).

    Args:
        backbone: The part that is wanted; checkpoints hold it under ``backbone.``.
        neck: Its maps -> (B, C); see `mmrs.MultiScalePool`.
        projector: (B, C) -> (B, ``feat_dim``), such as MMPreTrain's ``MoCoV2Neck``; None: the
            pooled features themselves are compared.
        queue_len: Keys in the queue, K, at least 1. No more than images of the data set less
            the images of a step, or every image meets its own keys: `check_queue`.
        feat_dim: Channels of a key.
        key_momentum: m of eq. 11, in [0, 1).
        temperature: Of the softmax, > 0.
        bn_groups: In how many groups each process normalises its batch. Queries and keys are
            grouped otherwise (:mod:`mmrs.ops.key_groups`), across all processes. ``auto``: with
            one process as many as keep images apart, sqrt(batch) or a little more; with several
            1, as MoCo. Without BatchNorm in training, nothing is grouped. The batch must be a
            multiple of it.
        data_preprocessor: See `mmrs.SelfSupDataPreProcessor`.
        init_cfg: As in MMEngine.

    Attributes:
        last_embeddings: (N, feat_dim) float32, of unit length: the last batch's queries, without
            gradient; None before the first.
        encoder_k: The key encoder: ``backbone``, ``neck``, ``projector``.

    Raises:
        ConfigError: A number is out of range.

    Source: MoCo (arXiv 1911.05722), MoCo v2 (arXiv 2003.04297); Hi-ResNet (arXiv 2305.12691),
    eqs. 10-11.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        projector: dict | None = None,
        queue_len: int = 65536,
        feat_dim: int = 128,
        key_momentum: float = 0.999,
        temperature: float = 0.2,
        bn_groups: int | Literal["auto"] = "auto",
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        _check("queue_len", queue_len, queue_len >= 1, ">= 1")
        _check("key_momentum", key_momentum, 0 <= key_momentum < 1, "in [0, 1), near 1")
        _check("temperature", temperature, temperature > 0, "> 0")
        good = bn_groups == "auto" or (isinstance(bn_groups, int) and bn_groups >= 1)
        _check("bn_groups", bn_groups, good, "'auto' or >= 1")
        self.backbone = ROOT_MODELS.build(backbone)
        self.neck = ROOT_MODELS.build(neck)
        self.projector = nn.Identity() if projector is None else ROOT_MODELS.build(projector)
        self.encoder_k = nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)) for name in _PARTS}
        )
        self.encoder_k.requires_grad_(False)
        self.queue_len = queue_len
        self.key_momentum = key_momentum
        self.temperature = temperature
        self.bn_groups = bn_groups
        self.last_embeddings: Tensor | None = None
        # directions without an image, as in MoCo, until keys have taken their places
        self.register_buffer("queue", F.normalize(torch.randn(queue_len, feat_dim), dim=1))
        self.register_buffer("queue_ids", torch.full((queue_len,), -1))
        self.register_buffer("queue_pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("key_updates", torch.zeros((), dtype=torch.long))
        self._watch: StepWatch | None = None

    # what a runner calls ------------------------------------------------------------------------

    def forward(
        self, inputs: Any, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> Any:
        """``loss`` of two views (:meth:`loss`), or ``tensor``: features (:meth:`extract_feat`)."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "tensor":
            return self.extract_feat(inputs)
        raise ValueError(f"mode must be 'loss' or 'tensor', got {mode!r}")

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Pooled features before the projection, (B, bands, H, W) -> (B, C)."""
        return self.neck(self.backbone(inputs))

    def loss(
        self, inputs: Sequence[Tensor], data_samples: Sequence[Any] | None
    ) -> dict[str, Tensor]:
        """InfoNCE of two views; in training, the key encoder and the queue move on.

        Args:
            inputs: Queries' and keys' views, (N, bands, H, W) each.
            data_samples: Which images they are: ``image_id``, else ``sample_idx``, from 0 on.

        Returns:
            ``loss``; ``top1`` and ``top5``, per cent of queries whose key is among the 1 or 5
            most similar of queue and key.

        Raises:
            ConfigError: There are not two views, or samples without id, or the batch does not
                divide into ``bn_groups``.
        """
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            raise ConfigError(
                "a sample must have two views",
                where="train_pipeline",
                fix="use mmrs.TwoViews, and collate_fn=dict(type='default_collate')",
            )
        views, key_views = inputs
        ids = image_ids(data_samples, views.device)
        groups = self._num_groups(len(views))
        if self.training:
            self._follow()
        queries = self._encode({name: getattr(self, name) for name in _PARTS}, views, groups)
        if queries.shape[1] != self.queue.shape[1]:
            raise ConfigError(
                f"is {self.queue.shape[1]}, but keys have {queries.shape[1]} channels",
                where="model.feat_dim",
                fix=f"set model.feat_dim={queries.shape[1]}, or another projector",
            )
        with torch.no_grad():
            all_keys = self._encode_keys(key_views, groups)
            start = get_rank() * len(views)
            keys = all_keys[start : start + len(views)]
            mask = own_keys(ids, self.queue_ids)
        logits = contrast_logits(
            # the queue changes before the gradient is computed
            queries, keys, self.queue.clone(), temperature=self.temperature, mask=mask
        )  # fmt: skip
        self.last_embeddings = queries.detach().float()
        if self.training:
            self._push(all_keys, ids)
        seen = logits.detach()
        return {
            "loss": info_nce(logits),
            "top1": discrimination_accuracy(seen, top=1),
            "top5": discrimination_accuracy(seen, top=5),
        }

    def check_queue(self, num_images: int, images_a_step: int) -> None:
        """Refuse a queue that always holds keys of the images at hand.

        Args:
            num_images: Of the data set.
            images_a_step: Of all processes together.

        Raises:
            ConfigError: The queue is longer than the data set less one step, with what to set.
        """
        most = num_images - images_a_step
        if self.queue_len <= most:
            return
        fix = f"set model.queue_len={most} or less"
        if most < 1:
            fix = f"use more than {images_a_step} images, or a smaller batch"
        raise ConfigError(
            f"queue_len is {self.queue_len}, but the data set has {num_images} images and a step "
            f"takes {images_a_step}: each image would find its own earlier keys in the queue",
            where="model.queue_len",
            fix=fix,
        )

    # encoders -----------------------------------------------------------------------------------

    def _encode(self, parts: Mapping[str, nn.Module], views: Tensor, groups: int) -> Tensor:
        """Embeddings of unit length, (N, feat_dim); each group is normalised by itself."""
        found = [
            _only(parts["projector"](_for(parts["projector"], parts["neck"](parts["backbone"](v)))))
            for v in views.chunk(groups)
        ]
        return F.normalize(torch.cat(found).float(), dim=1)

    def _encode_keys(self, views: Tensor, groups: int) -> Tensor:
        """Keys of the images of all processes, in the order of their queries."""
        encoder, processes = self.encoder_k, get_world_size()
        if groups * processes == 1 or not self._uses_batch_statistics():
            return _gathered(self._encode(encoder, views, groups))
        order = key_order(groups * processes, len(views) // groups).to(views.device)
        start = get_rank() * len(views)
        mine = order[start : start + len(views)]
        shuffled = _gathered(self._encode(encoder, _gathered(views)[mine], groups))
        keys = torch.empty_like(shuffled)
        keys[order] = shuffled
        return keys

    def _num_groups(self, batch_size: int) -> int:
        if not self._uses_batch_statistics():
            return 1
        if get_world_size() > 1 and any(isinstance(m, nn.SyncBatchNorm) for m in self.modules()):
            raise ConfigError(
                "SyncBN normalises queries and keys with one set of images, which gives the "
                "positive key away",
                where="model.backbone.norm_cfg",
                fix="use BN, and leave sync_bn out",
            )
        groups = self.bn_groups
        if groups == "auto":
            return separating_groups(batch_size) if get_world_size() == 1 else 1
        if batch_size % groups:
            raise ConfigError(
                f"a batch of {batch_size} does not divide into bn_groups={groups}",
                where="model.bn_groups",
                fix="choose a divisor of train_dataloader.batch_size, and drop_last=True",
            )
        return groups

    def _uses_batch_statistics(self) -> bool:
        return any(isinstance(m, _BatchNorm) and m.training for m in self.encoder_k.modules())

    @torch.no_grad()
    def _follow(self) -> None:
        """Eq. 11, once for every step of the optimiser: k <- m k + (1 - m) q."""
        if self._watch is None:  # the first time, in a run that begins or goes on
            self._watch = StepWatch(self)
        elif not self._watch.take():
            return
        pairs = [(getattr(self, name), self.encoder_k[name]) for name in _PARTS]
        for query, key in pairs:
            if self.key_updates == 0:
                # only now have all weights been initialised or loaded
                key.load_state_dict(query.state_dict())
                continue
            for ours, theirs in zip(key.parameters(), query.parameters(), strict=True):
                ours.lerp_(theirs, 1 - self.key_momentum)
        self.key_updates += 1

    @torch.no_grad()
    def _push(self, all_keys: Tensor, ids: Tensor) -> None:
        pointer = int(self.queue_pointer)
        all_ids = _gathered(ids)
        # a key that is no number would make every loss so until it has left the queue, where a
        # loss scaler passes over its own step alone
        good = all_keys.isfinite().all(dim=1)  # (B,)
        moved = enqueue(self.queue, self.queue_ids, pointer, all_keys[good], all_ids[good])
        self.queue_pointer.fill_(moved)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load; a key encoder of which not all fits starts as a copy of the query encoder again.

        Otherwise what does not fit (another projector, other bands) would keep its own random
        weights, and follow the query encoder's from there for thousands of steps.
        """
        for name, weight in self.encoder_k.named_parameters():
            found = state_dict.get(f"{prefix}encoder_k.{name}")
            if found is None or found.shape != weight.shape:
                state_dict[f"{prefix}key_updates"] = torch.zeros_like(self.key_updates)
                break
        super()._load_from_state_dict(state_dict, prefix, *args)


def _gathered(values: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks; the same number from each."""
    return torch.cat(all_gather(values.contiguous())) if get_world_size() > 1 else values


def _for(projector: nn.Module, features: Tensor) -> Any:
    # MMPreTrain's necks pass tuples on
    return features if isinstance(projector, nn.Identity) else (features,)


def _only(found: Any) -> Tensor:
    return found[0] if isinstance(found, list | tuple) else found


def _check(key: str, value: Any, good: bool, rule: str) -> None:
    if not good:
        raise ConfigError(f"must be {rule}, got {value!r}", where=f"MoCoV2.{key}", fix="mend it")
