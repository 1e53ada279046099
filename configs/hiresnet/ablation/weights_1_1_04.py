# Loss ablation, table VIII: GD, LSCE and CEA at 1 : 1 : 0.4, as they are.
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
        loss_decode=dict(weights=(1, 1, 0.4), weighting="fixed"),
    ),
)
