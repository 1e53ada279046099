# Mapillary Vistas 1.2 as crops of 256 px, read from the images as they are; 66 classes,
# "Unlabeled" among them (tools/prepare_dataset.py mapillary).
data_root = "data/mapillary"
# fmt: off
classes = (
    "Bird", "Ground Animal", "Curb", "Fence", "Guard Rail", "Barrier", "Wall", "Bike Lane",
    "Crosswalk - Plain", "Curb Cut", "Parking", "Pedestrian Area", "Rail Track", "Road",
    "Service Lane", "Sidewalk", "Bridge", "Building", "Tunnel", "Person", "Bicyclist",
    "Motorcyclist", "Other Rider", "Lane Marking - Crosswalk", "Lane Marking - General", "Mountain",
    "Sand", "Sky", "Snow", "Terrain", "Vegetation", "Water", "Banner", "Bench", "Bike Rack",
    "Billboard", "Catch Basin", "CCTV Camera", "Fire Hydrant", "Junction Box", "Mailbox", "Manhole",
    "Phone Booth", "Pothole", "Street Light", "Pole", "Traffic Sign Frame", "Utility Pole",
    "Traffic Light", "Traffic Sign (Back)", "Traffic Sign (Front)", "Trash Can", "Bicycle", "Boat",
    "Bus", "Car", "Caravan", "Motorcycle", "On Rails", "Other Vehicle", "Trailer", "Truck",
    "Wheeled Slow", "Car Mount", "Ego Vehicle", "Unlabeled",
)
palette = [
    [165, 42, 42], [0, 192, 0], [196, 196, 196], [190, 153, 153], [180, 165, 180], [90, 120, 150],
    [102, 102, 156], [128, 64, 255], [140, 140, 200], [170, 170, 170], [250, 170, 160],
    [96, 96, 96], [230, 150, 140], [128, 64, 128], [110, 110, 110], [244, 35, 232], [150, 100, 100],
    [70, 70, 70], [150, 120, 90], [220, 20, 60], [255, 0, 0], [255, 0, 100], [255, 0, 200],
    [200, 128, 128], [255, 255, 255], [64, 170, 64], [230, 160, 50], [70, 130, 180],
    [190, 255, 255], [152, 251, 152], [107, 142, 35], [0, 170, 30], [255, 255, 128], [250, 0, 30],
    [100, 140, 180], [220, 220, 220], [220, 128, 128], [222, 40, 40], [100, 170, 30], [40, 40, 40],
    [33, 33, 33], [100, 128, 160], [142, 0, 0], [70, 100, 150], [210, 170, 100], [153, 153, 153],
    [128, 128, 128], [0, 0, 80], [250, 170, 30], [192, 192, 192], [220, 220, 0], [140, 140, 20],
    [119, 11, 32], [150, 0, 255], [0, 60, 100], [0, 0, 142], [0, 0, 90], [0, 0, 230], [0, 80, 100],
    [128, 64, 64], [0, 0, 110], [0, 0, 70], [0, 0, 192], [32, 32, 32], [120, 10, 10], [0, 0, 0],
]
# fmt: on
metainfo = dict(classes=classes, palette=palette)
crop_size = (256, 256)
# Hi-ResNet takes 2 M crops, "filtered by class balance" to 400,000, and does not say by which
# rule. 18,000 images hold about 2.2 M squares of 256 px; here 400,000 of them are drawn once and
# for all: a class, each equally likely, then a square in proportion to its pixels of that class,
# moved by at most a quarter. Other rules: seed=None draws 400,000 anew in each epoch;
# dict(type="random", size=crop_size, length=400000, seed=0) does not balance at all.
train_windows = dict(type="balanced", size=crop_size, length=400000, seed=0)
meta_keys = (
    *("img_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape", "scale_factor", "flip"),
    *("flip_direction", "reduce_zero_label", "window", "raster_shape"),
)
train_pipeline = [
    # street scenes have an up: no vertical flips, no rotations
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSegInputs", meta_keys=meta_keys),
]
test_pipeline = [dict(type="PackSegInputs", meta_keys=meta_keys)]
train_dataloader = dict(
    batch_size=80,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="mmrs.RasterSegDataset",
        data_root=data_root,
        images="training/images",
        labels="training/v1.2/labels",
        metainfo=metainfo,
        window_sampler=train_windows,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmrs.RasterSegDataset",
        data_root=data_root,
        images="validation/images",
        labels="validation/v1.2/labels",
        metainfo=metainfo,
        window_sampler=dict(type="grid", size=crop_size, count_once=True),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="mmrs.SegMetric", score_names=["mIoU", "OA"], exclude_from_mean=())
test_evaluator = val_evaluator
