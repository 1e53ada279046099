# MMSegmentation's FCN run on a ResNet-34 whose basic blocks dilate both convolutions, for the
# stock ResNet-18 that dilates the first.
_base_ = "mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
model = dict(
    pretrained="torchvision://resnet34", backbone=dict(type="mmrs.DilatedResNet", depth=34)
)
