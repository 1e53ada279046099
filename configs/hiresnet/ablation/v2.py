# Module ablation, table VI, V2: HRNet-W48 with three times the blocks in stage 4, 153.3 M.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hrnet_w48_coarse.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(extra=dict(stage4=dict(num_blocks=(12, 12, 12, 12)))),
    decode_head=dict(num_classes=6),
)
