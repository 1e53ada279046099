# MMSegmentation's U-Net (five stages, 64 channels at first) with RMNet's loss and one 1x1.
data_preprocessor = dict(
    type="SegDataPreProcessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(256, 256),
)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=data_preprocessor,
    backbone=dict(type="UNet", base_channels=64, norm_cfg=dict(type="BN"), norm_eval=False),
    decode_head=dict(
        type="FCNHead",
        in_channels=64,
        in_index=4,
        channels=64,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=6,
        align_corners=False,
        loss_decode=dict(type="mmrs.DiceFocalLoss", focal="standard"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
