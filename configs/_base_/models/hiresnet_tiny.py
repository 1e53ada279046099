# Hi-ResNet for a CPU: every kind of module of the paper, 0.54 M parameters. A head of the
# attention keeps its 24 channels, so the widths are multiples of 24.
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
    backbone=dict(
        type="mmrs.HiResNet",
        stem="funnel",
        stem_channels=24,
        funnel_channels=48,
        num_funnel_blocks=2,
        widths=(24, 48, 72),
        num_modules=(1, 1),
        num_blocks=(2, 2),
        block="ia",
    ),
    decode_head=dict(
        type="mmrs.RefinementHead",
        in_channels=(24, 48, 72),
        in_index=(0, 1, 2),
        coarse_channels=32,
        channels=24,
        key_channels=16,
        # half the crop of the full model, so half its dilations
        dilations=(6, 12, 18),
        num_classes=7,
        loss_decode=dict(type="mmrs.JointLoss", weights=(1, 1, 0.4), weighting="softmax"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(256, 256), stride=(128, 128)),
)
