# AdamW and early stopping, as the paper has it. It names no rate, decay, batch, number of epochs
# or patience: AdamW at 1e-4, batch 16, at most 100 epochs, ended when the validation mIoU has not
# risen by 0.1 points for 10 epochs, stand in for them.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01),
    clip_grad=None,
)
# constant: a schedule that ends at a fixed epoch and an end that nobody knows do not go together
param_scheduler = []
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(
        type="CheckpointHook",
        by_epoch=True,
        interval=1,
        max_keep_ckpts=2,
        save_best="mIoU",
        rule="greater",
    ),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="SegVisualizationHook"),
)
custom_hooks = [
    dict(
        type="EarlyStoppingHook",
        monitor="mIoU",
        rule="greater",
        min_delta=0.1,
        patience=10,
        strict=True,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
