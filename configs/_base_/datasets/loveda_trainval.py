# LoveDA's train and val images together (4191) for training, its 1796 unlabelled test images for
# testing: the score comes from the server. Layout and encoding: see loveda.py.
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
# the test images have no labels to load
test_pipeline = [
    dict(type="LoadImageFromFile"),
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
        type="ConcatDataset",
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                data_prefix=dict(img_path=f"img_dir/{split}", seg_map_path=f"ann_dir/{split}"),
                pipeline=train_pipeline,
            )
            for split in ("train", "val")
        ],
    ),
)
# nothing is left to validate on
val_dataloader = None
val_evaluator = None
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/test"),
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type="mmrs.LoveDASubmission", out_dir="work_dirs/loveda_submission")
