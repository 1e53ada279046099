# Large rasters as they are, nothing tiled: images and labels of equal names under data_root, in
# images/{train,val} and labels/{train,val}. Labels are rasters of class ids on the grid of their
# image, or GeoPackages; colours, other ids and other grids: docs/rasters.md.
dataset_type = "mmrs.RasterSegDataset"
data_root = "data/rasters"
metainfo = dict(
    classes=("background", "building", "vegetation", "water"),
    palette=[[90, 90, 90], [220, 60, 50], [70, 160, 70], [60, 100, 210]],
)
# counted from 1, in the order that the model is to have
bands = [1, 2, 3, 4]
crop_size = (256, 256)
# from the training images, for validation as well; computed once and kept in cache_dir
scaling = dict(type="meanstd", images="images/train")
meta_keys = (
    *("img_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip"),
    *("flip_direction", "reduce_zero_label", "window", "raster_shape", "transform", "crs"),
    *("band_names", "gsd_m"),
)
# no loading steps: the data set reads the windows
train_pipeline = [
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="RandomFlip", prob=0.5, direction="vertical"),
    dict(type="PackSegInputs", meta_keys=meta_keys),
]
test_pipeline = [dict(type="PackSegInputs", meta_keys=meta_keys)]
tta_pipeline = [
    dict(type="mmrs.KeepLabels"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="RandomFlip", prob=0.0, direction="horizontal"),
                dict(type="RandomFlip", prob=1.0, direction="horizontal"),
            ],
            [dict(type="PackSegInputs", meta_keys=meta_keys)],
        ],
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        images="images/train",
        labels="labels/train",
        metainfo=metainfo,
        bands=bands,
        scaling=scaling,
        window_sampler=dict(type="random", size=crop_size),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        images="images/val",
        labels="labels/val",
        metainfo=metainfo,
        bands=bands,
        scaling=scaling,
        # windows flush with the edges overlap others: every pixel is judged once all the same
        window_sampler=dict(type="grid", size=crop_size, count_once=True),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric", score_names=["mIoU", "OA"], exclude_from_mean=())
test_evaluator = val_evaluator
