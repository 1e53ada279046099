# HRNet-W48 with IFWM on WHU Building. No trained weights ship with mmrs.
#
# mIoU, mF1, precision and recall are those of the class building alone.
_base_ = [
    "../_base_/models/ifw_hrnet.py",
    "../_base_/datasets/whu_building.py",
    "../_base_/schedules/ifwm_100e.py",
    "../_base_/default_runtime.py",
]
model = dict(
    decode_head=dict(num_classes=2, out_channels=2), test_cfg=dict(_delete_=True, mode="whole")
)
train_cfg = dict(max_epochs=80)
