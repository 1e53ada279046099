# What `make demo` trains: a small Hi-ResNet with every kind of module of the paper, its refinement
# head and its complete loss, in a few minutes on two CPU cores, on imagery that the demo makes.
# Not a setting of the paper, and nothing to compare with its tables.
_base_ = ["../_base_/default_runtime.py"]
crop_size = (128, 128)
widths = (24, 48, 96)

model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type="mmrs.HiResNet",
        stem_channels=32,
        funnel_channels=64,
        num_funnel_blocks=1,
        widths=widths,
        num_modules=(1, 1),
        num_blocks=(1, 2),
    ),
    decode_head=dict(
        type="mmrs.RefinementHead",
        in_channels=widths,
        in_index=(0, 1, 2),
        coarse_channels=32,
        channels=32,
        key_channels=16,
        # the paper's 12, 24, 36 are for maps of 128 px and more a side; these have 32
        dilations=(2, 4, 8),
        num_classes=7,
        loss_decode=dict(type="mmrs.JointLoss"),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

dataset_type = "LoveDADataset"
data_root = "demo_out/tiles"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=crop_size),
    # the eight ways to lay a square
    dict(type="RandomRotFlip", rotate_prob=0.0, flip_prob=1.0),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/val", seg_map_path="ann_dir/val"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric")
test_evaluator = val_evaluator

max_iters = 800
warmup_iters = 50
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-2))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.02, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type="CosineAnnealingLR",
        eta_min=1e-5,
        by_epoch=False,
        begin=warmup_iters,
        end=max_iters,
        T_max=max_iters - warmup_iters,
    ),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=max_iters),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
