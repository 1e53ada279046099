# WHDLD as distributed: 4940 images of 256 x 256 px. No division is distributed and the paper names
# none: 951 files validate, by a hash of their names. The label files' 1-6 are the classes 0-5.
dataset_type = "mmrs.WHDLDDataset"
data_root = "data/whdld"
data_prefix = dict(img_path="Images", seg_map_path="ImagesPNG")
train_pipeline = [
    dict(type="LoadImageFromFile"),
    # to read labels by their colours: imdecode_backend="cv2" here, then mmrs.MapColors, and
    # reduce_zero_label=False in the data sets; see mmrs.WHDLDDataset
    dict(type="LoadAnnotations"),
    # the paper names no augmentation
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="RandomFlip", prob=0.5, direction="vertical"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]
tta_pipeline = [
    dict(type="LoadImageFromFile"),
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
        val_ratio=0.2,
        split_seed=0,
        data_root=data_root,
        data_prefix=data_prefix,
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
        val_ratio=0.2,
        split_seed=0,
        data_root=data_root,
        data_prefix=data_prefix,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric", score_names=["OA", "AA", "Kappa", "mIoU", "mF1"])
test_evaluator = val_evaluator
