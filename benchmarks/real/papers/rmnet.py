"""RMNet's ablation at the size of a CPU: U-Net, CNet, + residual blocks, + MSFM, both."""

from __future__ import annotations

ROWS = {
    "unet": "U-Net",
    "cnet": "CNet (plain)",
    "cnet_rbm": "CNet + RBM (residual blocks)",
    "cnet_msfm": "CNet + MSFM",
    "rmnet": "RMNet (both)",
}
# what the paper's ablation builds on
REFERENCE = "cnet"
# about ten times narrower than the paper's, as deep: what shortcuts do depends on the depth
BASE_CHANNELS = 6
DECODED = (8, 8, 16, 32, 48)
# as wide as gives it the parameters of the others
UNET_CHANNELS = 7
_LOSS = {"type": "mmrs.DiceFocalLoss"}


def config_of(row: str, num_classes: int) -> dict:
    """The segmentor of a row; the four rows below U-Net differ in two options only."""
    if row not in ROWS:
        raise ValueError(f"row must be one of {sorted(ROWS)}, got {row!r}")
    model = {"type": "EncoderDecoder", "train_cfg": {}, "test_cfg": {"mode": "whole"}}
    if row == "unet":
        backbone = {"type": "UNet", "base_channels": UNET_CHANNELS, "norm_cfg": {"type": "BN"}}
        return {**model, "backbone": backbone, "decode_head": _head(UNET_CHANNELS, 4, num_classes)}
    c = BASE_CHANNELS
    return {
        **model,
        "backbone": {
            "type": "mmrs.RMNetEncoder",
            "base_channels": c,
            "residual": row in ("cnet_rbm", "rmnet"),
        },
        "neck": {
            "type": "mmrs.MSFM",
            "in_channels": (c, c, 8 * c, 16 * c, 32 * c),
            "out_channels": DECODED,
            "upsampling": "msfm" if row in ("cnet_msfm", "rmnet") else "plain",
        },
        "decode_head": _head(DECODED[0], 0, num_classes),
    }


def _head(channels: int, index: int, num_classes: int) -> dict:
    """One 1x1 convolution at full resolution."""
    return {
        "type": "FCNHead",
        "in_channels": channels,
        "in_index": index,
        "channels": channels,
        "num_convs": 0,
        "concat_input": False,
        "dropout_ratio": 0,
        "num_classes": num_classes,
        "loss_decode": dict(_LOSS),
    }
