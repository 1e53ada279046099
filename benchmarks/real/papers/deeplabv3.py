"""DeepLabV3 on ResNet-34, 50 and 101 at the size of a CPU, and the CRF that may follow each."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrs.ops.crf import dense_crf

ROWS = {"r34": "ResNet-34", "r50": "ResNet-50", "r101": "ResNet-101"}
# the paper's depths, eight times narrower: 0.38, 0.50 and 0.81 M parameters
BASE_CHANNELS = 8
HEAD_CHANNELS = 16
# options of `mmrs.ops.crf.dense_crf` for every row: those of the authors' code, nothing tuned
CRF = {
    "num_iters": 10,
    "spatial_sigma_px": 3.0,
    "spatial_weight": 3.0,
    "bilateral_sigma_px": 80.0,
    "bilateral_color_sigma": 13.0,
    "bilateral_weight": 10.0,
}


def config_of(row: str, num_classes: int) -> dict:
    """The segmentor of a row; rows differ in the depth of the backbone."""
    if row not in ROWS:
        raise ValueError(f"row must be one of {sorted(ROWS)}, got {row!r}")
    expansion = 1 if row == "r34" else 4
    return {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "mmrs.DilatedResNet",
            "depth": int(row[1:]),
            "stem_channels": 8,
            "base_channels": BASE_CHANNELS,
            "strides": (1, 2, 2, 1),
            "dilations": (1, 1, 1, 2),
            "contract_dilation": True,
            "norm_cfg": {"type": "BN"},
        },
        "decode_head": {
            "type": "ASPPHead",
            "in_channels": 8 * BASE_CHANNELS * expansion,
            "in_index": 3,
            "channels": HEAD_CHANNELS,
            # the paper's rates at stride 16 of 256 px, halved for crops of 128 px
            "dilations": (1, 3, 6, 9),
            "dropout_ratio": 0.1,
            "num_classes": num_classes,
            "norm_cfg": {"type": "BN"},
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }


def refine(logits: Tensor, images_0_255: Tensor) -> Tensor:
    """Predictions after the CRF.

    Args:
        logits: (B, K, H, W) of a network, at the size of the images.
        images_0_255: (B, 3, H, W) pixels, not normalised.

    Returns:
        (B, K, H, W) float32 probabilities.
    """
    return dense_crf(torch.softmax(logits.float(), 1), images_0_255, **CRF)
