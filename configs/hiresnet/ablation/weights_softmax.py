# Loss ablation, table VIII: the softmax of 1, 1, 0.4, as in hiresnet_vaihingen.py.
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
        loss_decode=dict(weights=(1, 1, 0.4), weighting="softmax"),
    ),
)
