# Hi-ResNet's backbone with the coarse head alone, and the loss without its edge term: the model
# of the module ablation before refinement and CEA.
data_preprocessor = dict(
    type="SegDataPreProcessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type="mmrs.HiResNet",
        stem="funnel",
        funnel_channels=256,
        widths=(48, 96, 192),
        num_modules=(1, 4),
        num_blocks=(4, 12),
        block="ia",
    ),
    decode_head=dict(
        type="mmrs.CoarseHead",
        in_channels=(48, 96, 192),
        in_index=(0, 1, 2),
        channels=512,
        num_classes=7,
        loss_decode=dict(
            type="mmrs.JointLoss",
            losses=[
                dict(type="mmrs.GeneralizedDiceLoss"),
                dict(type="mmrs.LabelSmoothingCrossEntropyLoss"),
            ],
            weights=(1, 1),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(256, 256)),
)
