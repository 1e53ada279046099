# MMSegmentation's PSPNet run in its own MultiImageMixDataset: every other image is stitched.
_base_ = "mmseg::pspnet/pspnet_r18-d8_4xb4-80k_loveda-512x512.py"
custom_imports = dict(imports=["mmrs"], allow_failed_imports=False)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="MultiImageMixDataset",
        dataset=dict(
            type="LoveDADataset",
            data_root="data/loveDA",
            data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"),
            reduce_zero_label=True,
            pipeline=[dict(type="LoadImageFromFile"), dict(type="LoadAnnotations")],
        ),
        pipeline=[
            dict(type="mmrs.CropAndStitch", prob=0.5),
            # what follows is the stock run's
            dict(
                type="RandomResize",
                scale=(2048, 512),
                ratio_range=(0.5, 2.0),
                keep_ratio=True,
            ),
            dict(type="RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PhotoMetricDistortion"),
            dict(type="PackSegInputs"),
        ],
    )
)
