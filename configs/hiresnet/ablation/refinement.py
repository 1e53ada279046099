# Module ablation, + refinement: the whole model, 26.0 M, trained without the edge loss (CEA).
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
        # GD and LSCE in the proportion they have in the complete loss
        loss_decode=dict(
            _delete_=True,
            type="mmrs.JointLoss",
            losses=[
                dict(type="mmrs.GeneralizedDiceLoss"),
                dict(type="mmrs.LabelSmoothingCrossEntropyLoss"),
            ],
            weights=(1, 1),
        ),
    ),
)
