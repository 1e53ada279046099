# DeepLabV3 on ResNet-50, on paddy fields. No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/deeplabv3_os16.py",
    "../_base_/datasets/paddy.py",
    "../_base_/schedules/deeplabv3_paddy.py",
    "../_base_/default_runtime.py",
]
