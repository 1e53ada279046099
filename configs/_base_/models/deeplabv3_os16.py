# DeepLabV3 at output stride 16 on ResNet-50, two classes. The paper gives no widths, rates or
# multi-grid: ASPP's are those of DeepLabV3, without multi-grid.
# The 3x3 after ASPP is MMSegmentation's; DeepLabV3 has a 1x1.
data_preprocessor = dict(
    type="SegDataPreProcessor",
    # ImageNet's, for 8-bit bands in the order of the file; 16-bit imagery needs its own
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=False,
    pad_val=0,
    seg_pad_val=255,
    size=(256, 256),
)
norm_cfg = dict(type="BN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type="mmrs.DilatedResNet",
        depth=50,
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        # the 3x3 that held the stride keeps its dilation of 1, so that ImageNet's weights compute
        # what they were trained to compute
        contract_dilation=True,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    decode_head=dict(
        type="ASPPHead",
        in_channels=2048,
        in_index=3,
        channels=256,
        dilations=(1, 6, 12, 18),
        dropout_ratio=0.1,
        num_classes=2,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
