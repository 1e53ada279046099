# RMNet, whole: 41.80 M parameters, 23.39 M of them in the encoder.
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
        type="mmrs.RMNetEncoder",
        residual=True,
        # Basic blocks in stage 2 are no ResNet-50's: 240 of 245 tensors match its weights, the
        # others start at random, and the log names them. All at random:
        # --cfg-options model.backbone.init_cfg=None
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="mmrs.MSFM",
        in_channels=(64, 64, 512, 1024, 2048),
        out_channels=(32, 64, 128, 256, 512),
        fusion="sum",  # "concat" is the paper's other variant, 44.95 M
        upsampling="msfm",
    ),
    # one 1x1 convolution on the map of the image's size
    decode_head=dict(
        type="FCNHead",
        in_channels=32,
        in_index=0,
        channels=32,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=6,
        align_corners=False,
        # Dice + 0.9 focal. The paper prints alpha 2 and gamma 0.25, exchanged: focal="literal"
        loss_decode=dict(type="mmrs.DiceFocalLoss", focal="standard"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)
