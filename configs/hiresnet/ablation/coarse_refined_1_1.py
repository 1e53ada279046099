# Loss ablation, fig. 8: coarse and refined loss at 1 : 1, as in hiresnet_vaihingen.py.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hiresnet.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    decode_head=dict(
        num_classes=6,
        coarse_loss_weight=1.0,
        refined_loss_weight=1.0,
    ),
)
