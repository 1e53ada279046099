# ResNet101, dilated SPP, sub-pixel head and crop-and-stitch on ISPRS Potsdam.
# No trained weights ship with mmrs.
#
# Split by image (23 / 8 / 7), which the paper does not: see README.md for its own protocol. Six
# classes are learnt and in the means. Scores are over tiles, so what overlapping tiles share
# counts twice.
_base_ = [
    "../_base_/models/dilated_spp_r101.py",
    "../_base_/datasets/potsdam_dilated_spp_stitched.py",
    "../_base_/schedules/dilated_spp_30k.py",
    "../_base_/default_runtime.py",
]
log_processor = dict(by_epoch=False)
