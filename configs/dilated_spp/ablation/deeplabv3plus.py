# Ablation, baseline: DeepLabV3+ on the tiles alone, MMSegmentation's head on the same backbone.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/dilated_spp_r101.py",
    "../../_base_/datasets/potsdam_dilated_spp.py",
    "../../_base_/schedules/dilated_spp_30k.py",
    "../../_base_/default_runtime.py",
]
log_processor = dict(by_epoch=False)
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="DepthwiseSeparableASPPHead",
        in_channels=2048,
        in_index=3,
        # 256 channels and rates of DeepLabV3+ at output stride 16
        channels=256,
        dilations=(1, 6, 12, 18),
        c1_in_channels=256,
        c1_channels=48,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
)
