# Table X, HRNet: HRNet-W48 with the refinement head (ASP-OCR) and the complete loss, 75.9 M.
# No trained weights ship with mmrs.
_base_ = [
    "../../_base_/models/hrnet_w48_coarse.py",
    "../../_base_/datasets/vaihingen.py",
    "../../_base_/schedules/hiresnet_200e.py",
    "../../_base_/default_runtime.py",
]
model = dict(
    decode_head=dict(
        _delete_=True,
        type="mmrs.RefinementHead",
        in_channels=(48, 96, 192, 384),
        in_index=(0, 1, 2, 3),
        coarse_channels=512,
        channels=256,
        num_classes=6,
        loss_decode=dict(type="mmrs.JointLoss", weights=(1, 1, 0.4), weighting="softmax"),
    ),
)
