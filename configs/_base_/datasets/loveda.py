# LoveDA in the layout of MMSegmentation's tools/dataset_converters/loveda.py: 2522 training and
# 1669 validation images of 1024 x 1024 px. The label files' 0 is no data and is ignored; 1-7 are
# the seven classes, 0-6 for the model.
dataset_type = "LoveDADataset"
data_root = "data/loveDA"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    # scales of the image at hand, whatever its size
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="Resize", scale_factor=ratio)] for ratio in (0.5, 0.75, 1.0, 1.25, 1.5)
        ],
    ),
    # a scaled image smaller than the crop is padded by the data preprocessor: image 0, label 255
    dict(type="RandomCrop", crop_size=(512, 512)),
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
            [dict(type="Resize", scale_factor=ratio) for ratio in (0.75, 1.0, 1.25)],
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
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"),
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
        data_prefix=dict(img_path="img_dir/val", seg_map_path="ann_dir/val"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric", score_names=["mIoU"], exclude_from_mean=())
test_evaluator = val_evaluator
