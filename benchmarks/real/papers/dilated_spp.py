"""CPU-sized rows of the dilated-SPP paper's table: two parts, each alone, both, and DeepLabV3+."""

from __future__ import annotations

import copy

ROWS = {
    "deeplabv3plus": "DeepLabV3+",
    "augmentation": "dilated SPP, crop-and-stitch only",
    "sub_pixel": "dilated SPP, sub-pixel only",
    "both": "dilated SPP, both parts",
}
# rows trained on the originals and as many stitched samples
STITCHED: frozenset[str] = frozenset({"augmentation", "both"})

_STRIDE = 16
_WIDTH = 10
_PYRAMID = 32
# the paper's rates at stride 16 of 512 px crops, scaled to 128 px crops
_DILATIONS = (1, 2, 3, 5)
_BACKBONE = {
    "type": "ResNetV1c",
    "depth": 18,
    "stem_channels": _WIDTH,
    "base_channels": _WIDTH,
    "num_stages": 4,
    "out_indices": (0, 1, 2, 3),
    "strides": (1, 2, 2, 1),
    "dilations": (1, 1, 1, 2),
    "contract_dilation": True,
    "norm_cfg": {"type": "BN"},
    "norm_eval": False,
}
_CE = {"type": "CrossEntropyLoss", "use_sigmoid": False, "avg_non_ignore": True}


def _deeplabv3plus(num_classes: int) -> dict:
    return {
        "type": "DepthwiseSeparableASPPHead",
        "in_channels": 8 * _WIDTH,
        "in_index": 3,
        "channels": _PYRAMID,
        "dilations": _DILATIONS,
        "c1_in_channels": _WIDTH,
        "c1_channels": 8,
        "dropout_ratio": 0.1,
        "norm_cfg": {"type": "BN"},
        "num_classes": num_classes,
        "loss_decode": copy.deepcopy(_CE),
    }


def _bilinear(num_classes: int) -> dict:
    return {
        "type": "FCNHead",
        "in_channels": _PYRAMID,
        "in_index": 0,
        "channels": _PYRAMID,
        "num_convs": 0,
        "concat_input": False,
        "dropout_ratio": 0.0,
        "num_classes": num_classes,
        "loss_decode": copy.deepcopy(_CE),
    }


def _sub_pixel(num_classes: int) -> dict:
    return {
        "type": "mmrs.SubPixelHead",
        "in_channels": _PYRAMID,
        "in_index": 0,
        "upscale_factor": _STRIDE,
        "num_classes": num_classes,
        "loss_decode": copy.deepcopy(_CE),
    }


def config_of(row: str, num_classes: int) -> dict:
    """The segmentor of a row, without a data preprocessor.

    ``augmentation`` and ``both`` are trained on the doubled set (``STITCHED``); the model of
    ``augmentation`` upsamples bilinearly, ``sub_pixel`` and ``both`` are one model.

    Raises:
        ValueError: the row is unknown.
    """
    if row not in ROWS:
        raise ValueError(f"row must be one of {sorted(ROWS)}, got {row!r}")
    heads = {"deeplabv3plus": _deeplabv3plus, "augmentation": _bilinear}
    config = {
        "type": "EncoderDecoder",
        "backbone": copy.deepcopy(_BACKBONE),
        "decode_head": heads.get(row, _sub_pixel)(num_classes),
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
    }
    if row != "deeplabv3plus":
        config["neck"] = {
            "type": "mmrs.DilatedSPP",
            "in_channels": 8 * _WIDTH,
            "channels": _PYRAMID,
            "dilations": _DILATIONS,
        }
    return config
