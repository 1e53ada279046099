# Hi-ResNet's backbone with MMSegmentation's SegFormer head and its cross-entropy.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/loveda.py",
    "../_base_/schedules/hiresnet_400e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    decode_head=dict(
        _delete_=True,
        type="SegformerHead",
        in_channels=[48, 96, 192],
        in_index=[0, 1, 2],
        channels=256,
        dropout_ratio=0.1,
        num_classes=7,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    )
)
