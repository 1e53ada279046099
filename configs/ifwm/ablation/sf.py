# Ablation at 256 px. SF: the flow from a 3x3 on both maps concatenated.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/ifw_hrnet.py",
    "../../_base_/datasets/vaihingen_ifwm_256.py",
    "../../_base_/schedules/ifwm_100e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(variant="sf"),
    test_cfg=dict(crop_size=(256, 256), stride=(200, 200)),
)
