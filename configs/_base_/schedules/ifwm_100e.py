# IFWM: 100 epochs of SGD, the rate times 0.9 after every epoch. WHU Building takes 80.
optim_wrapper = dict(
    type="OptimWrapper",
    # the paper names neither momentum nor decay: those of MMSegmentation's HRNet runs
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=5e-4),
    clip_grad=None,
)
param_scheduler = [dict(type="ExponentialLR", gamma=0.9, by_epoch=True)]
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=True,
        interval=10,
        max_keep_ckpts=3,
        save_best="mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
# the rate belongs to a batch of 8; `tools/train.py --auto-scale-lr` scales it with the batch
auto_scale_lr = dict(enable=False, base_batch_size=8)
