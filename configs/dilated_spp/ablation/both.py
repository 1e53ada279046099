# Ablation, both parts: the complete model and data, as in dilated_spp_potsdam.py.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/dilated_spp_r101.py",
    "../../_base_/datasets/potsdam_dilated_spp_stitched.py",
    "../../_base_/schedules/dilated_spp_30k.py",
    "../../_base_/default_runtime.py",
]
log_processor = dict(by_epoch=False)
