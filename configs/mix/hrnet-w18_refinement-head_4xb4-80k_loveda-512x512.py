# MMSegmentation's HRNet-W18 run with Hi-ResNet's refinement head and complete loss.
_base_ = "mmseg::hrnet/fcn_hr18_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        _delete_=True,
        type="mmrs.RefinementHead",
        in_channels=(18, 36, 72, 144),
        in_index=(0, 1, 2, 3),
        num_classes=7,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        loss_decode=dict(type="mmrs.JointLoss"),
    )
)
