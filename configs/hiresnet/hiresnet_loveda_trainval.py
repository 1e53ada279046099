# Hi-ResNet on LoveDA by the paper's protocol: trained on train + val, scored by the server on the
# hidden test set. Testing writes work_dirs/loveda_submission/submission.zip and no score: a local
# one would be over training images. No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/loveda_trainval.py",
    "../_base_/schedules/hiresnet_400e.py",
    "../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=7))
val_cfg = None
# no validation, so no best checkpoint
default_hooks = dict(checkpoint=dict(save_best=None))
