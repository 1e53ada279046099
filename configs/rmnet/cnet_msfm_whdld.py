# Ablation, CNet + MSFM: the decoder of RMNet on an encoder without shortcuts.
# No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/rmnet.py",
    "../_base_/datasets/whdld.py",
    "../_base_/schedules/rmnet_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(backbone=dict(residual=False))
