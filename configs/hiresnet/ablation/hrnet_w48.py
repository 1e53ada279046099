# Module ablation, table VI, HRNet-W48: the starting point, 68.6 M parameters.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hrnet_w48_coarse.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=6))
