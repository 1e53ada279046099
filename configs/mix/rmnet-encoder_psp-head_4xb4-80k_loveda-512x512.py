# MMSegmentation's PSPNet run on RMNet's encoder, at its strides 16 and 32.
_base_ = "mmseg::pspnet/pspnet_r50-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type="mmrs.RMNetEncoder",
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    decode_head=dict(in_index=4),
    auxiliary_head=dict(in_index=3),
)
