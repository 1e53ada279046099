# Hi-ResNet on LoveDA with a batch of 16 as 4 x 4: one GPU with less memory, by accumulation.
# No trained weights ship with mmrs.
#
# Epochs, and so the schedule, are those of hiresnet_loveda.py; the optimiser steps as often. What
# differs: batch norm sees 4 images at a time, Generalised Dice sums over 4, and the edge loss
# draws a class for every 4.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/loveda.py",
    "../_base_/schedules/hiresnet_400e.py",
    "../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=7))
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(accumulative_counts=4)
# MMEngine compares this with the loader's batch and does not count the accumulation
auto_scale_lr = dict(base_batch_size=4)
