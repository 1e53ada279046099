# A small-width Hi-ResNet on LoveDA for a CPU, with every kind of module of the paper and its
# complete loss. Not the paper's model: 0.54 M parameters, crops of 256 px, 20 epochs, batch 4.
# No trained weights ship with mmrs.
_base_ = [
    "../_base_/models/hiresnet_tiny.py",
    "../_base_/datasets/loveda.py",
    "../_base_/schedules/hiresnet_tiny_20e.py",
    "../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=7))
train_pipeline = [
    dict(step, crop_size=(256, 256)) if step["type"] == "RandomCrop" else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(batch_size=4, num_workers=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=2)
test_dataloader = val_dataloader
env_cfg = dict(dist_cfg=dict(backend="gloo"))
