# MMSegmentation's DeepLabV3+ run; to its tiles as many crop-and-stitch ones are added, and both
# go through its own augmentation.
_base_ = "mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb4-80k_vaihingen-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="mmrs.CropAndStitchDataset",
        dataset={{_base_.train_dataloader.dataset}},
    )
)
