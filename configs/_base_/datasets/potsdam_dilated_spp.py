# ISPRS Potsdam as the dilated-SPP paper has it: all 38 images, 13 x 13 tiles of 512 px of each
# (a stride of 457.33 px, mmrs.geo.tiles), 6 : 2 : 2.
dataset_type = "mmrs.PotsdamDataset"
data_root = "data/potsdam"
# the paper names no augmentation but its own
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
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
    batch_size=10,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        # By image. The paper divides tiles, so that its training and test data overlap:
        # dilated_spp_overlap_train, _val, _test do that, and warn.
        split="dilated_spp_train",
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
        split="dilated_spp_val",
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
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
        split="dilated_spp_test",
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
        pipeline=test_pipeline,
    ),
)
# the paper does not say that it leaves clutter out: six classes in the means
val_evaluator = dict(type="mmrs.SegMetric", score_names=["OA", "mF1", "recall", "mIoU"])
test_evaluator = val_evaluator
