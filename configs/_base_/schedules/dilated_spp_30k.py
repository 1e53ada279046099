# The dilated-SPP paper: 30,000 iterations of SGD, a polynomial decay from 0.007 to 1e-6.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.007, momentum=0.9, weight_decay=2e-4),
    clip_grad=None,
)
param_scheduler = [
    # the paper does not give the power; 0.9 is DeepLab's
    dict(type="PolyLR", power=0.9, eta_min=1e-6, begin=0, end=30000, by_epoch=False),
]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=30000, val_interval=3000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=3000,
        max_keep_ckpts=3,
        save_best="mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
# the rate belongs to a batch of 10; `tools/train.py --auto-scale-lr` scales it with the batch
auto_scale_lr = dict(enable=False, base_batch_size=10)
