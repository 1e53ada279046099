# MoCo v2 for a CPU: the small Hi-ResNet of configs/hiresnet/hiresnet_tiny_raster.py on windows of
# your own rasters or pictures, 3 bands of 8 bits. Not the paper's model. No trained weights ship
# with mmrs.
#
# Your data, without editing this file (docs/pretraining.md says how to take other bands):
#   tools/train.py configs/pretrain/hiresnet_tiny_mocov2_rasters.py --cfg-options \
#       train_dataloader.dataset.data_root=DATA model.queue_len=512
_base_ = ["../_base_/pretrain_runtime.py"]

data_root = "data/rasters"
seed = 0
view_transforms = [
    dict(type="RandomResizedCrop", scale=64, crop_ratio_range=(0.2, 1.0)),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="mmrs.RandomRotate90"),
    dict(
        type="mmrs.PhotometricDistortion",
        brightness=0.4,
        contrast=(0.6, 1.4),
        saturation=(0.6, 1.4),
        hue=36.0,
        rgb_bands=(0, 1, 2),
        prob=0.8,
        ignore_index=None,
    ),
    dict(
        type="mmrs.PhotometricDistortion",
        brightness=0.0,
        contrast=(1.0, 1.0),
        saturation=(0.0, 0.0),
        rgb_bands=(0, 1, 2),
        prob=0.2,
        ignore_index=None,
    ),
    dict(type="mmrs.RandomBlur", sigma_px=(0.1, 2.0), prob=0.5),
]
train_pipeline = [
    dict(type="mmrs.TwoViews", transforms=view_transforms),
    dict(type="PackInputs", meta_keys=("image_id", "sample_idx", "img_path", "window")),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="mmrs.VisitSampler", shuffle=True),
    dataset=dict(
        type="mmrs.UnlabelledRasterDataset",
        data_root=data_root,
        images="images/train",
        size=96,
        min_valid_ratio=0.5,
        seed=seed,
        pipeline=train_pipeline,
    ),
)
model = dict(
    type="mmrs.MoCoV2",
    data_preprocessor=dict(
        type="mmrs.SelfSupDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
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
    neck=dict(type="mmrs.MultiScalePool"),
    projector=dict(
        type="MoCoV2Neck",
        in_channels=144,
        hid_channels=144,
        out_channels=64,
        with_avg_pool=False,
    ),
    # at most the windows of the data set less a batch; a run with less says so before it starts
    queue_len=1024,
    feat_dim=64,
    # m of eq. 11. With 0.99, at this rate, keys of the queue look older than the positive key, and
    # the logged top-1 flatters (configs/pretrain/README.md)
    key_momentum=0.999,
    temperature=0.2,
)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=100, end=2000, T_max=1900),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=2000)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=200, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
# With labelled scenes, a folder for each class, see what the features are worth:
# scenes = dict(
#     type="mmrs.SceneFoldersDataset",
#     data_root="data/scenes",
#     pipeline=[dict(type="Resize", scale=(96, 96)), dict(type="PackInputs")],
# )
# custom_hooks = [
#     dict(type="mmrs.EmbeddingSpreadHook", interval=100),
#     dict(type="mmrs.KNNHook", dataset=scenes, interval=200),
#     dict(type="mmrs.LinearProbeHook", dataset=scenes, interval=1000),
#     dict(type="mmrs.CurvesHook", interval=500),
# ]
env_cfg = dict(dist_cfg=dict(backend="gloo"))
auto_scale_lr = dict(enable=False, base_batch_size=16)
