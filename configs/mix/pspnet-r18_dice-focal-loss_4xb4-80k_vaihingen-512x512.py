# MMSegmentation's PSPNet-R18 run with RMNet's loss beside cross-entropy, its focal term balanced by
# one number a class (the car's the largest).
_base_ = "mmseg::pspnet/pspnet_r18-d8_4xb4-80k_vaihingen-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
            dict(type="mmrs.DiceFocalLoss", alpha=(0.2, 0.2, 0.25, 0.25, 1.0, 0.25)),
        ]
    )
)
