# WHU Building, aerial, as distributed: {train,val,test}/{image,label}/*.tif, 4736, 1036 and 2416
# tiles of 512 x 512 px. Label files hold 0 and 255; 255 would be ignored, so it becomes class 1.
dataset_type = "mmrs.WHUBuildingDataset"
data_root = "data/whu_building"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="mmrs.MapLabels", label_map={255: 1}),
    # the paper says rotations: quarter turns, which blend no labels
    dict(type="mmrs.RandomRotate90"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="mmrs.MapLabels", label_map={255: 1}),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="Resize", scale_factor=ratio) for ratio in (0.75, 1.0, 1.25)],
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="LoadAnnotations")],
            [dict(type="mmrs.MapLabels", label_map={255: 1})],
            [dict(type="PackSegInputs")],
        ],
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="train/image", seg_map_path="train/label"),
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
        data_root=data_root,
        data_prefix=dict(img_path="val/image", seg_map_path="val/label"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="test/image", seg_map_path="test/label"),
        pipeline=test_pipeline,
    ),
)
# with the background left out, the means are the scores of the class building
val_evaluator = dict(
    type="mmrs.SegMetric",
    score_names=["mIoU", "mF1", "precision", "recall"],
    exclude_from_mean=("background",),
)
test_evaluator = val_evaluator
