# MMSegmentation's FPN run with IFWM's neck in place of its own.
_base_ = "mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    neck=dict(
        _delete_=True,
        type="mmrs.IFWMNeck",
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    )
)
