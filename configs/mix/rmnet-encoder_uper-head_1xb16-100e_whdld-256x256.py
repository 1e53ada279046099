# RMNet's encoder and loss with MMSegmentation's UPerNet head, on strides 4 to 32.
_base_ = [
    "../_base_/models/rmnet.py",
    "../_base_/datasets/whdld.py",
    "../_base_/schedules/rmnet_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type="UPerHead",
        in_channels=[64, 512, 1024, 2048],
        in_index=[1, 2, 3, 4],
        pool_scales=(1, 2, 3, 6),
        channels=256,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=dict(type="BN", requires_grad=True),
        align_corners=False,
        loss_decode=dict(type="mmrs.DiceFocalLoss"),
    ),
)
