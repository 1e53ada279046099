# MMSegmentation's PSPNet run on aligned levels at stride 4. The last three levels of its dilated
# backbone have one size, so their ratios are 1.
_base_ = "mmseg::pspnet/pspnet_r50-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    neck=dict(
        type="mmrs.IFWMNeck",
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        ratios=(2, 1, 1),
        norm_cfg=dict(type="SyncBN", requires_grad=True),
    ),
    decode_head=dict(in_channels=256, in_index=0),
    auxiliary_head=dict(in_channels=256),
)
