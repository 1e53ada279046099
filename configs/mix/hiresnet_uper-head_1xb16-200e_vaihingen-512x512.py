# Hi-ResNet's backbone and complete loss with MMSegmentation's UPerNet head and an auxiliary FCN.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/vaihingen.py",
    "../_base_/schedules/hiresnet_200e.py",
    "../_base_/default_runtime.py",
]
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    decode_head=dict(
        _delete_=True,
        type="UPerHead",
        in_channels=[48, 96, 192],
        in_index=[0, 1, 2],
        pool_scales=(1, 2, 3, 6),
        channels=256,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="mmrs.JointLoss"),
    ),
    auxiliary_head=dict(
        type="FCNHead",
        in_channels=192,
        in_index=2,
        channels=96,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=0.4),
    ),
)
