# MMSegmentation's PSPNet run with Generalised Dice beside cross-entropy.
_base_ = "mmseg::pspnet/pspnet_r50-d8_4xb4-80k_potsdam-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        loss_decode=[
            dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
            dict(type="mmrs.GeneralizedDiceLoss", loss_weight=1.0),
        ]
    )
)
