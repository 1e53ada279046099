# Hi-ResNet's backbone under MoCo v2: 20.8 M parameters to pre-train, and as many that follow them.
data_preprocessor = dict(
    type="mmrs.SelfSupDataPreProcessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
model = dict(
    type="mmrs.MoCoV2",
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
    # the paper does not say how its three maps become one vector
    neck=dict(type="mmrs.MultiScalePool"),
    # as wide inside as the features, as in MoCo v2
    projector=dict(
        type="MoCoV2Neck",
        in_channels=336,
        hid_channels=336,
        out_channels=128,
        with_avg_pool=False,
    ),
    # MoCo v2's; the paper names none of these
    queue_len=65536,
    feat_dim=128,
    key_momentum=0.999,
    temperature=0.2,
)
