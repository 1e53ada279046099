# DeepLabV3 on ResNet-34, basic blocks dilated in both convolutions, on paddy fields.
# No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/deeplabv3_os16.py",
    "../_base_/datasets/paddy.py",
    "../_base_/schedules/deeplabv3_paddy.py",
    "../_base_/default_runtime.py",
]
model = dict(
    backbone=dict(depth=34, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet34")),
    decode_head=dict(in_channels=512),
)
