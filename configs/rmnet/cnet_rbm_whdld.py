# Ablation, CNet + RBM: the residual encoder, upsampling bilinearly only.
# No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/rmnet.py",
    "../_base_/datasets/whdld.py",
    "../_base_/schedules/rmnet_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(neck=dict(upsampling="plain"))
