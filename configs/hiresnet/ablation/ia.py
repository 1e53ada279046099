# Module ablation, + IA blocks: the whole backbone under the coarse head, 22.3 M.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hiresnet_coarse.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=6))
