# MMSegmentation's HRNet-W18 run with a sub-pixel head on its four maps, joined at stride 4.
_base_ = "mmseg::hrnet/fcn_hr18_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    decode_head=dict(
        _delete_=True,
        type="mmrs.SubPixelHead",
        in_channels=(18, 36, 72, 144),
        in_index=(0, 1, 2, 3),
        input_transform="resize_concat",
        upscale_factor=4,
        num_classes=7,
        loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=1.0),
    )
)
