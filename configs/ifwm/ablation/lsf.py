# Ablation at 256 px. LSF: the flow from a k x k on both maps concatenated.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/ifw_hrnet.py",
    "../../_base_/datasets/vaihingen_ifwm_256.py",
    "../../_base_/schedules/ifwm_100e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(variant="lsf"),
    test_cfg=dict(crop_size=(256, 256), stride=(200, 200)),
)
