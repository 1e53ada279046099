# Module ablation, Hi-ResNet base: V1 without stage 4, so HRNet's stem and blocks, 46.5 M.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hiresnet_coarse.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(stem="hrnet", block="basic"),
    decode_head=dict(num_classes=6),
)
