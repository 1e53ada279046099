# MMSegmentation's PSPNet run on a ResNet-34 whose basic blocks dilate both convolutions, for the
# stock ResNet-18 that dilates the first.
_base_ = "mmseg::pspnet/pspnet_r18-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    pretrained="torchvision://resnet34", backbone=dict(type="mmrs.DilatedResNet", depth=34)
)
