# Supervised pre-training of Hi-ResNet on Mapillary Vistas, 66 classes: crops of 256 px chosen by
# class balance, AdamW at 5e-5, batch 80, 3,125,000 steps. The paper (arXiv 2305.12691) reports 51.8
# mIoU on the validation set. No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/mapillary_256.py",
    "../_base_/default_runtime.py",
]
model = dict(
    # rasters are read as red, green, blue
    data_preprocessor=dict(size=(256, 256), bgr_to_rgb=False),
    decode_head=dict(num_classes=66),
    test_cfg=dict(mode="slide", crop_size=(256, 256), stride=(128, 128)),
)
optim_wrapper = dict(
    type="OptimWrapper",
    # the paper names the rate; the rest is as in its fine-tuning
    optimizer=dict(type="AdamW", lr=5e-5, betas=(0.9, 0.999), weight_decay=1e-8),
    clip_grad=None,
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=3125000, T_max=3125000)
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=3125000, val_interval=50000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=5000,
        max_keep_ckpts=3,
        save_best="mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(enable=False, base_batch_size=80)
