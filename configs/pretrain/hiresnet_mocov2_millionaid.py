# MoCo v2 on Million-AID with the settings of Hi-ResNet (arXiv 2305.12691): SGD at 0.015, batch 64,
# 3,125,000 steps, on the squares of 400 px of a million images. The paper reports top-1 78.9 and
# top-5 94.1 %. No trained weights ship with mmrs.
#
# Data: tools/prepare_dataset.py million_aid (data/README.md), or the images as they are.
_base_ = ["../_base_/models/hiresnet_mocov2.py", "../_base_/pretrain_runtime.py"]

data_root = "data/million_aid"
view_size = 224  # MoCo v2's; the paper names the squares only
seed = 0
view_transforms = [
    dict(type="RandomResizedCrop", scale=view_size, crop_ratio_range=(0.2, 1.0)),
    # from above there is no up: flips both ways and quarter turns
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="mmrs.RandomRotate90"),
    dict(
        type="mmrs.PhotometricDistortion",
        brightness=0.4,
        contrast=(0.6, 1.4),
        saturation=(0.6, 1.4),
        hue=36.0,  # 0.1 of the circle
        rgb_bands=(0, 1, 2),
        prob=0.8,
        ignore_index=None,
    ),
    # without colour
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
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type="default_collate"),
    sampler=dict(type="mmrs.VisitSampler", shuffle=True),
    dataset=dict(
        type="mmrs.MillionAIDDataset",
        data_root=data_root,
        size=400,
        seed=seed,
        pipeline=train_pipeline,
    ),
)
optim_wrapper = dict(
    type="OptimWrapper",
    # the paper names the rate; momentum and decay are MoCo's
    optimizer=dict(type="SGD", lr=0.015, momentum=0.9, weight_decay=1e-4),
)
# MoCo v2's cosine. 3,125,000 steps are 200 epochs of 1,000,000 images at a batch of 64, where the
# paper's text says 150.
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=3125000, T_max=3125000)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=3125000)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # the most that a killed run loses
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=5000, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
