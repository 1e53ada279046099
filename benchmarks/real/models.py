"""The models compared: a CPU-sized Hi-ResNet, its ablations, and two stock MMSeg peers.

The rows of the other papers stand in ``benchmarks/real/papers``, one file a paper.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from types import ModuleType

from mmengine.config import Config
from mmseg.utils import register_all_modules
from torch import nn

WIDTHS = (16, 32, 64)
HEAD_CHANNELS = 24
_BACKBONE = {
    "type": "mmrs.HiResNet",
    "stem_channels": 16,
    "funnel_channels": 32,
    "num_funnel_blocks": 1,
    "widths": WIDTHS,
    "num_modules": (1, 1),
    "num_blocks": (1, 2),
    "head_dim": 16,
}
_GD = {"type": "mmrs.GeneralizedDiceLoss"}
_LSCE = {"type": "mmrs.LabelSmoothingCrossEntropyLoss"}
_WITHOUT_CEA = {"type": "mmrs.JointLoss", "losses": [_GD, _LSCE], "weights": (1.0, 1.0)}
_CE = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
PEERS = ("hiresnet", "fcn_hrnet", "unet")
MODULE_ROWS = ("base", "funnel", "ia", "refinement", "cea")
PAPERS = ("rmnet", "ifwm", "dilated_spp", "deeplabv3")
# the losses exchanged, so that a gap between the peers is not put down to the wrong half
CONTROLS = ("hiresnet_ce", "fcn_hrnet_joint")
# Table VIII's four weightings, and fig. 8's ratios; softmax at 1:1 is the default of both
LOSS_ROWS = {
    "softmax": {},
    "fixed_1_1_1": {"weighting": "fixed", "weights": (1.0, 1.0, 1.0)},
    "fixed_1_1_0.4": {"weighting": "fixed", "weights": (1.0, 1.0, 0.4)},
    "random": {"weighting": "random"},
    "coarse_1_refined_0.4": {},
    "coarse_0.4_refined_1": {},
}
_RATIOS = {"coarse_1_refined_0.4": (1.0, 0.4), "coarse_0.4_refined_1": (0.4, 1.0)}


def _segmentor(backbone: dict, head: dict) -> dict:
    return {
        "type": "EncoderDecoder",
        "backbone": backbone,
        "decode_head": head,
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def _refinement_head(num_classes: int, loss: dict, ratio: Sequence[float] = (1.0, 1.0)) -> dict:
    return {
        "type": "mmrs.RefinementHead",
        "in_channels": list(WIDTHS),
        "coarse_channels": HEAD_CHANNELS,
        "channels": HEAD_CHANNELS,
        "key_channels": HEAD_CHANNELS // 2,
        # the paper's rates at stride 4 of 512 px crops, scaled to 128 px crops
        "dilations": (3, 6, 9),
        "coarse_loss_weight": ratio[0],
        "refined_loss_weight": ratio[1],
        "num_classes": num_classes,
        "loss_decode": loss,
    }


def hiresnet(num_classes: int, row: str = "softmax") -> dict:
    """The small Hi-ResNet with every kind of module, under one of ``LOSS_ROWS``."""
    loss = {"type": "mmrs.JointLoss", **LOSS_ROWS[row]}
    head = _refinement_head(num_classes, loss, _RATIOS.get(row, (1.0, 1.0)))
    return _segmentor(copy.deepcopy(_BACKBONE), head)


def ablation(num_classes: int, row: str) -> dict:
    """One of ``MODULE_ROWS``: each adds one part to the one before, as in the paper's table."""
    step = MODULE_ROWS.index(row)
    backbone = copy.deepcopy(_BACKBONE)
    if step < 1:
        backbone["stem"] = "hrnet"
    if step < 2:
        backbone["block"] = "basic"
    loss = {"type": "mmrs.JointLoss"} if step >= 4 else _WITHOUT_CEA
    if step >= 3:
        return _segmentor(backbone, _refinement_head(num_classes, loss))
    head = {
        "type": "mmrs.CoarseHead",
        "in_channels": list(WIDTHS),
        "channels": HEAD_CHANNELS,
        "num_classes": num_classes,
        "loss_decode": loss,
    }
    return _segmentor(backbone, head)


def fcn_hrnet(num_classes: int, width: int = 6) -> dict:
    """MMSeg's HRNet with its FCN head, narrow and shallow."""
    widths = [width * 2**i for i in range(4)]
    stages = {
        f"stage{n}": {
            "num_modules": modules,
            "num_branches": n,
            "block": "BASIC",
            "num_blocks": (2,) * n,
            "num_channels": tuple(widths[:n]),
        }
        for n, modules in ((2, 1), (3, 2), (4, 1))
    }
    stages["stage1"] = {
        "num_modules": 1,
        "num_branches": 1,
        "block": "BOTTLENECK",
        "num_blocks": (1,),
        "num_channels": (16,),
    }
    backbone = {"type": "HRNet", "norm_cfg": {"type": "BN"}, "norm_eval": False, "extra": stages}
    head = {
        "type": "FCNHead",
        "in_channels": widths,
        "in_index": (0, 1, 2, 3),
        "channels": sum(widths),
        "input_transform": "resize_concat",
        "kernel_size": 1,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": -1,
        "num_classes": num_classes,
        "norm_cfg": {"type": "BN"},
        "loss_decode": _CE,
    }
    return _segmentor(backbone, head)


def unet(num_classes: int, base_channels: int = 7) -> dict:
    """MMSeg's U-Net of five stages with its FCN head, narrow."""
    backbone = {"type": "UNet", "base_channels": base_channels, "norm_cfg": {"type": "BN"}}
    head = {
        "type": "FCNHead",
        "in_channels": base_channels,
        "in_index": 4,
        "channels": base_channels,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": 0.1,
        "num_classes": num_classes,
        "norm_cfg": {"type": "BN"},
        "loss_decode": _CE,
    }
    return _segmentor(backbone, head)


def paper(name: str) -> ModuleType:
    """The rows of one of ``PAPERS``: ``ROWS`` and ``config_of(row, num_classes)``."""
    return importlib.import_module(f"benchmarks.real.papers.{name}")


def rows_of(experiment: str) -> tuple[str, ...]:
    """The rows of an experiment, in its order."""
    if experiment in PAPERS:
        return tuple(paper(experiment).ROWS)
    rows = {"controls": CONTROLS, "modules": MODULE_ROWS, "losses": tuple(LOSS_ROWS)}
    return rows.get(experiment, PEERS)


def extras_of(model: str) -> dict:
    """What decides a run of a paper beside its settings and its config; empty elsewhere."""
    kind, _, row = model.partition("/")
    extras: dict = {}
    if kind in PAPERS and row in getattr(paper(kind), "STITCHED", ()):
        extras["stitched"] = True
    if kind in PAPERS and hasattr(paper(kind), "CRF"):
        extras["crf"] = paper(kind).CRF
    return extras


def config_of(model: str, num_classes: int) -> dict:
    """The config of a model by its name in the result files.

    ``hiresnet``, ``fcn_hrnet``, ``unet``, ``modules/<row>``, ``losses/<row>``,
    ``controls/<row>``, or ``<paper>/<row>``.
    """
    kind, _, row = model.partition("/")
    if kind in PAPERS:
        return paper(kind).config_of(row, num_classes)
    if kind == "modules":
        return ablation(num_classes, row)
    if kind == "losses":
        return hiresnet(num_classes, row)
    if kind == "controls":
        config = hiresnet(num_classes) if row == "hiresnet_ce" else fcn_hrnet(num_classes)
        loss = _CE if row == "hiresnet_ce" else {"type": "mmrs.JointLoss"}
        config["decode_head"]["loss_decode"] = copy.deepcopy(loss)
        return config
    builders = {"hiresnet": hiresnet, "fcn_hrnet": fcn_hrnet, "unet": unet}
    if kind not in builders:
        raise ValueError(f"model must be one of {sorted(builders)} or an ablation, got {model!r}")
    return builders[kind](num_classes)


def build(config: dict) -> nn.Module:
    """A segmentor with initial weights, from its config."""
    register_all_modules(init_default_scope=True)
    from mmseg.registry import MODELS  # after registration

    model = MODELS.build(Config({"model": config}).model)
    model.init_weights()
    return model


def num_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
