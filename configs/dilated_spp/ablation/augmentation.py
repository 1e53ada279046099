# Ablation, augmentation only: the doubled set, and in place of the sub-pixel head a 1x1 classifier
# at stride 16 with the bilinear step that every head of MMSegmentation ends with.
# No trained weights ship with mmrs.
#
# The paper does not say which network this row has. Here it is the complete one without the
# sub-pixel head, so that it differs from ablation/both.py in one part.
_base_ = [
    "../../_base_/models/dilated_spp_r101.py",
    "../../_base_/datasets/potsdam_dilated_spp_stitched.py",
    "../../_base_/schedules/dilated_spp_30k.py",
    "../../_base_/default_runtime.py",
]
log_processor = dict(by_epoch=False)
model = dict(
    decode_head=dict(
        _delete_=True,
        type="FCNHead",
        in_channels=256,
        in_index=0,
        channels=256,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=6,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    )
)
