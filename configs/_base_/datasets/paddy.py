# SPOT-6 patches of 256 x 256 px, paddy or not: 80 % train, 20 % validate, divided before the
# training patches are rotated (the paper rotates first, so that turned copies of a training patch
# end up in validation). The imagery is not public; layout: `mmrs.PaddyDataset`.
dataset_type = "mmrs.PaddyDataset"
data_root = "data/paddy"
crop_size = (256, 256)
# red, green, blue; with the near infrared as well: bands=[1, 2, 3, 4], backbone.in_channels=4 and
# weights that fit, and one mean and deviation for all bands, as MMSegmentation wants them
load_image = dict(type="mmrs.LoadRaster", bands=[1, 2, 3])
train_pipeline = [
    load_image,
    dict(type="LoadAnnotations"),
    dict(type="mmrs.RotateAsListed"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    load_image,
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    load_image,
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        split="train",
        rotations=(0, 90, 180, 270),
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        split="val",
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric", score_names=["mIoU", "mF1", "OA"], exclude_from_mean=())
test_evaluator = val_evaluator
