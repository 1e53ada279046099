# MMSegmentation's PSPNet-R50 run with RMNet's decoder in place of the pyramid head: ResNet-50 at
# its own strides (4 to 32), four levels decoded to the image's size.
_base_ = "mmseg::pspnet/pspnet_r50-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    backbone=dict(strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1)),
    neck=dict(
        type="mmrs.MSFM",
        in_channels=(256, 512, 1024, 2048),
        out_channels=(32, 64, 128, 256, 512),
    ),
    decode_head=dict(
        _delete_=True,
        type="FCNHead",
        in_channels=32,
        in_index=0,
        channels=32,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=7,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    # on the decoded map at stride 8
    auxiliary_head=dict(in_channels=128, in_index=2, channels=64),
)
