# Hi-ResNet on ISPRS Potsdam. No trained weights ship with mmrs.
#
# Six classes are learnt, five are in the means: clutter is left out. Scores are over tiles, so
# what overlapping tiles share counts twice, and over the labels as prepared (MMSegmentation's
# converter keeps full or eroded ones, as given). Test mode: windows of 512 px at a stride of 256.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/potsdam.py",
    "../_base_/schedules/hiresnet_200e.py",
    "../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=6))
