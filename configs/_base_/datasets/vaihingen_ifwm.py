# ISPRS Vaihingen as IFWM divides it: 11 images train, 5 test (areas 11 15 28 30 34), all from the
# benchmark's 16 labelled ones. The paper's patches are 512 px at a stride of 400; tiles of any
# size of 512 px or more work, because the split goes by the source image in a tile's name.
# The label files' 0 (boundary) is ignored.
dataset_type = "mmrs.VaihingenDataset"
data_root = "data/vaihingen"
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations"),
    dict(type="RandomCrop", crop_size=(512, 512)),
    # the paper says rotations: quarter turns, which blend no labels
    dict(type="mmrs.RandomRotate90"),
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
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        split="ifwm_train",
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
        pipeline=train_pipeline,
    ),
)
# the paper has no validation set: its test set is looked at during training as well
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        split="ifwm_test",
        data_root=data_root,
        data_prefix=dict(img_path="img_dir", seg_map_path="ann_dir"),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
# five classes in the means, as the papers report; clutter is scored and shown. OA is the paper's PA
val_evaluator = dict(
    type="mmrs.SegMetric", score_names=["mIoU", "mF1", "OA"], exclude_from_mean=("clutter",)
)
test_evaluator = val_evaluator
