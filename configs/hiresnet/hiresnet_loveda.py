# Hi-ResNet on LoveDA: trained on train, validated on val. No trained weights ship with mmrs.
#
# The paper's settings at a batch of 16 on one device; hiresnet_loveda_1gpu.py needs a quarter of
# the memory. On N GPUs: train_dataloader.batch_size=16/N, and sync_bn=torch for batch statistics
# over all 16. Test mode: windows of 512 px at a stride of 256.
_base_ = [
    "../_base_/models/hiresnet.py",
    "../_base_/datasets/loveda.py",
    "../_base_/schedules/hiresnet_400e.py",
    "../_base_/default_runtime.py",
]
model = dict(decode_head=dict(num_classes=7))
