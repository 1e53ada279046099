# MMSegmentation's PSPNet-R18 run with the dilated pyramid between backbone and head.
_base_ = "mmseg::pspnet/pspnet_r18-d8_4xb4-80k_vaihingen-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    neck=dict(
        type="mmrs.DilatedSPP",
        in_channels=512,
        in_index=3,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    ),
    decode_head=dict(in_channels=256, in_index=0),
    # the neck gives one map: none is left for the auxiliary head
    auxiliary_head=None,
)
