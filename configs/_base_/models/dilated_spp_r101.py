# ResNet101 at output stride 16, dilated SPP, sub-pixel head: 62.03 M parameters with 6 classes.
data_preprocessor = dict(
    type="SegDataPreProcessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(512, 512),
)
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=data_preprocessor,
    backbone=dict(
        # the stem of one 7x7, not of three 3x3 (ResNetV1c: 62.05 M)
        type="ResNet",
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        # the paper does not say where it dilates: output stride 16, which r = 16 upsamples
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        contract_dilation=True,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style="pytorch",
        # the paper names no weights to start from
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet101"),
    ),
    neck=dict(
        type="mmrs.DilatedSPP",
        in_channels=2048,
        channels=256,
        dilations=(1, 6, 12, 18),
        in_index=3,
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type="mmrs.SubPixelHead",
        in_channels=256,
        in_index=0,
        upscale_factor=16,
        # a 3x3 would make 65.18 M
        kernel_size=1,
        # the paper names no initialisation; this one starts without a checkerboard
        icnr=True,
        num_classes=6,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
    ),
    train_cfg=dict(),
    # The paper does not say how it tests; a tile of 512 px is one window. Whole images:
    # model.test_cfg.mode=whole.
    test_cfg=dict(mode="slide", crop_size=(512, 512), stride=(256, 256)),
)
