# Hi-ResNet (arXiv 2305.12691), whole: 26.0 M parameters with 7 classes.
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
        type="mmrs.RefinementHead",
        in_channels=(48, 96, 192),
        in_index=(0, 1, 2),
        coarse_channels=512,
        channels=256,
        num_classes=7,
        coarse_loss_weight=1.0,
        refined_loss_weight=1.0,
        # softmax of (1, 1, 0.4): 0.3923 GD + 0.3923 LSCE + 0.2153 CEA
        loss_decode=dict(type="mmrs.JointLoss", weights=(1, 1, 0.4), weighting="softmax"),
    ),
    train_cfg=dict(),
    # The paper does not say how it tests. Windows of the training size, half overlapping: the
    # global poolings (channel gates, object regions) then see as much of a scene as in training.
    # A 512 px tile is one window. Whole images: model.test_cfg.mode=whole.
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(256, 256)),
)
