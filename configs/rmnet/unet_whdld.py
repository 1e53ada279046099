# The paper's U-Net, as MMSegmentation has it, under the loss and schedule of RMNet.
# No trained weights ship with mmrs; this one starts from random weights.
_base_ = [
    "../_base_/models/unet.py",
    "../_base_/datasets/whdld.py",
    "../_base_/schedules/rmnet_100e.py",
    "../_base_/default_runtime.py",
]
