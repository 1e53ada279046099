"""A config of a prepared set: what belongs beside a model and a schedule in ``_base_``."""

from __future__ import annotations

from collections.abc import Sequence

from mmrs.geo.palette_codec import Rgb

_HEAD = '''\
# Written by tools/prepare_dataset.py. Labels hold 0-{last}, 255 is ignored.
# A model beside it needs num_classes={count}{channels}.
dataset_type = "BaseSegDataset"
data_root = {{fileDirname}}
metainfo = dict(
    classes={classes!r},
    palette={palette!r},
)
load_image = {load}
# changes nothing, and tells the checks that 255 is no class, even where a part holds 0 and 255 only
load_labels = [
    dict(type="LoadAnnotations"),
    dict(type="mmrs.MapLabels", label_map={{255: 255}}),
]
train_pipeline = [
    load_image,
    *load_labels,
{crop}    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="RandomFlip", prob=0.5, direction="vertical"),
    dict(type="PackSegInputs"),
]
test_pipeline = [load_image, *load_labels, dict(type="PackSegInputs")]
'''

_LOADER = '''\
{name}_dataloader = dict(
    batch_size={batch},
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type={sampler!r}, shuffle={shuffle}),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path="img_dir/{part}", seg_map_path="ann_dir/{part}"),
        img_suffix={suffix!r},
        seg_map_suffix=".png",
        metainfo=metainfo,
        pipeline={pipeline},
    ),
)
'''


def config_block(
    *,
    classes: Sequence[str],
    palette: Sequence[Rgb],
    parts: Sequence[str],
    image_suffix: str,
    tile: int | None,
    bands: int,
    dtype: str,
) -> str:
    """The text of the config.

    Args:
        classes: Names by id.
        palette: Colours by id.
        parts: Parts that have images: train, val, test.
        image_suffix: Ending of image tiles.
        tile: Side of a tile; None where images are whole.
        bands: Of an image.
        dtype: Of an image.
    """
    # as OpenCV reads it; else the bands of the file, whose gaps have the label 255
    simple = (bands, dtype) == (3, "uint8")
    load = 'dict(type="LoadImageFromFile")'
    channels = ""
    if not simple:
        load = 'dict(type="mmrs.LoadRaster", nodata="keep")'
        # docs/channels.md
        channels = f",\n# in_channels={bands} and an mmrs.SegDataPreProcessor with {bands} means"
    crop = f'    dict(type="RandomCrop", crop_size=({tile}, {tile})),\n' if tile else ""
    text = _HEAD.format(
        last=len(classes) - 1,
        count=len(classes),
        channels=channels,
        classes=tuple(classes),
        palette=[list(colour) for colour in palette],
        load=load,
        crop=crop,
    ).replace("data_root = {fileDirname}", 'data_root = "{{ fileDirname }}"')
    has = set(parts)
    for name, part in (
        ("train", "train"),
        ("val", "val" if "val" in has else "test"),
        ("test", "test" if "test" in has else "val"),
    ):
        if part not in has:
            text += f"{name}_dataloader = None  # nothing is prepared for it\n"
            continue
        is_train = name == "train"
        text += _LOADER.format(
            name=name,
            part=part,
            batch=4 if is_train else 1,
            sampler="DefaultSampler",
            shuffle=is_train,
            suffix=image_suffix,
            pipeline="train_pipeline" if is_train else "test_pipeline",
        )
    if has & {"val", "test"}:
        text += 'val_evaluator = dict(type="mmrs.SegMetric", score_names=["mIoU", "mF1", "OA"])\n'
        text += "test_evaluator = val_evaluator\n"
    return text
