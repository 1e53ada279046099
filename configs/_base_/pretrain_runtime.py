# Runs of MMPreTrain's scope: as default_runtime.py, for images without labels.
default_scope = "mmpretrain"
# only engines that do not import a scope's registry by themselves need this
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="Visualizer", vis_backends=vis_backends, name="visualizer")
# top1 and top5 of a single batch jump about: they are averaged as the loss is
log_processor = dict(by_epoch=False, mean_pattern=r".*(loss|time|data_time|grad_norm|top1|top5).*")
# collapse is told, and WORK_DIR/curves.png drawn
custom_hooks = [
    dict(type="mmrs.EmbeddingSpreadHook", interval=100),
    dict(type="mmrs.CurvesHook", interval=500),
]
log_level = "INFO"
load_from = None
resume = False
# resuming goes to the right place in the order of the images without reading them, and gives each
# the draws that it would have had (mmrs.VisitSampler)
randomness = dict(seed=0)
