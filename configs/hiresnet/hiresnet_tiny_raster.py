# A small-width Hi-ResNet on your own 4-band rasters, for a CPU: 256 px windows read from the
# rasters as they are. Not the paper's model. No trained weights ship with mmrs.
#
# Your data, without editing this file (docs/rasters.md):
#   tools/train.py configs/hiresnet/hiresnet_tiny_raster.py --cfg-options \
#       train_dataloader.dataset.data_root=DATA val_dataloader.dataset.data_root=DATA
_base_ = [
    "../_base_/models/hiresnet_tiny.py",
    "../_base_/datasets/raster_example.py",
    "../_base_/schedules/hiresnet_tiny_20e.py",
    "../_base_/default_runtime.py",
]
# the data set scales the bands; the data preprocessor only pads
data_preprocessor = dict(mean=None, std=None, bgr_to_rgb=False)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(in_channels=4),
    decode_head=dict(num_classes=4),
)
env_cfg = dict(dist_cfg=dict(backend="gloo"))
