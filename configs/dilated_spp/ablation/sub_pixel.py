# Ablation, sub-pixel only: the complete model on the tiles alone, without stitched ones.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/dilated_spp_r101.py",
    "../../_base_/datasets/potsdam_dilated_spp.py",
    "../../_base_/schedules/dilated_spp_30k.py",
    "../../_base_/default_runtime.py",
]
log_processor = dict(by_epoch=False)
