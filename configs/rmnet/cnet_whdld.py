# Ablation, CNet: RMNet without shortcuts, upsampling bilinearly only.
# No trained weights ship with mmrs.
#
# The paper does not draw CNet. Here it is RMNet with both of its parts switched off, all else kept.
_base_ = [
    "../_base_/models/rmnet.py",
    "../_base_/datasets/whdld.py",
    "../_base_/schedules/rmnet_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(backbone=dict(residual=False), neck=dict(upsampling="plain"))
