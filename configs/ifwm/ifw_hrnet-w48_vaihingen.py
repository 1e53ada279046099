# HRNet-W48 with IFWM on ISPRS Vaihingen, split 11 / 5. No trained weights ship with mmrs.
#
# Six classes are learnt, five are in the means: clutter is left out. Scores are over tiles, so
# what overlapping tiles share counts twice, and over the labels as prepared.
_base_ = [
    "../_base_/models/ifw_hrnet.py",
    "../_base_/datasets/vaihingen_ifwm.py",
    "../_base_/schedules/ifwm_100e.py",
    "../_base_/default_runtime.py",
]
