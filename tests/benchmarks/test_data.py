"""Masks in both encodings, the committed splits, and the batches."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.real.data import (
    CLASSES,
    COLOURS,
    SPLIT_DIR,
    CropSampler,
    Sample,
    StitchingSampler,
    Subset,
    decode_mask,
    list_samples,
    load,
    read_split,
)
from mmrs.errors import DataError, LabelError


@pytest.fixture
def subset() -> Subset:
    """Pictures whose values tell picture and place; masks that agree with them."""
    place = torch.arange(16 * 16).view(16, 16)
    images = torch.stack([torch.stack([place + 1000 * i] * 3) for i in range(5)]).float()
    masks = torch.stack([place % 3] * 5).to(torch.uint8)
    return Subset(tuple("abcde"), images, masks)


def test_rgb_masks_take_the_nearest_colour_and_palettes_their_index():
    noisy = np.array([[[2, 1, 0], [120, 5, 3], [9, 133, 1]]], dtype=np.uint8)
    decoded = decode_mask(Image.fromarray(noisy), COLOURS["cloud_shadow"])
    assert decoded.tolist() == [[0, 1, 2]]
    palette = Image.fromarray(np.array([[2, 0, 1]], dtype=np.uint8), mode="L").convert("P")
    palette.putdata([2, 0, 1])
    assert decode_mask(palette, COLOURS["cloud_shadow"]).tolist() == [[2, 0, 1]]


def test_a_palette_index_without_a_class_is_refused():
    palette = Image.new("P", (2, 2), color=7)
    with pytest.raises(LabelError, match="value 7, but there are 3 classes"):
        decode_mask(palette, COLOURS["cloud_shadow"])


def test_grey_masks_tell_two_classes_apart_and_nothing_else():
    for top in (1, 255):
        mask = Image.fromarray(np.array([[0, top]], dtype=np.uint8), mode="L")
        assert decode_mask(mask, COLOURS["oam_buildings"]).tolist() == [[0, 1]]
    with pytest.raises(LabelError, match="no binary one"):
        decode_mask(Image.fromarray(np.array([[0, 7]], dtype=np.uint8)), COLOURS["oam_buildings"])


def test_a_missing_folder_says_which_argument_mends_it(tmp_path):
    with pytest.raises(DataError, match="--data"):
        list_samples(tmp_path, "cloud_shadow")


def test_pictures_are_halved_and_masks_stay_classes(tmp_path):
    mask = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(2, 2), 256, 0), 256, 1)
    image, label = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.new("RGB", (512, 512), (124, 116, 104)).save(image, quality=95)
    saved = Image.fromarray(mask).convert("P")
    saved.putdata(mask.ravel().tolist())
    saved.save(label)
    loaded = load([Sample("a", image, label)], "googlemap_landcover")
    assert loaded.images.shape == (1, 3, 256, 256)
    assert loaded.images.abs().max() < 0.05  # the mean colour becomes 0
    assert torch.equal(loaded.masks[0, ::128, ::128].int(), torch.tensor([[0, 1], [2, 3]]).int())


def test_an_epoch_shows_every_picture_once(subset):
    sampler = CropSampler(subset, crop_px=16, batch_size=5, seed=0)
    images, _ = sampler.next_batch()
    assert sorted((images[:, 0].amin(dim=(1, 2)) // 1000).tolist()) == [0, 1, 2, 3, 4]


def test_picture_and_mask_are_cut_and_turned_alike(subset):
    sampler = CropSampler(subset, crop_px=7, batch_size=8, seed=3)
    for _ in range(5):
        images, masks = sampler.next_batch()
        assert torch.equal(images[:, 0].long() % 1000 % 3, masks)


def test_batches_depend_on_the_seed_alone(subset):
    def first(seed: int) -> torch.Tensor:
        return CropSampler(subset, crop_px=7, batch_size=4, seed=seed).next_batch()[0]

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_stitched_pictures_keep_pixel_and_label_together_and_are_half_of_an_epoch(subset):
    sampler = StitchingSampler(subset, crop_px=12, batch_size=10, seed=1)
    assert len(sampler) == 10
    images, masks = sampler.next_batch()  # one epoch: 5 crops, 5 stitched
    assert torch.equal(images[:, 0].long() % 1000 % 3, masks)
    sources = [len((image[0] // 1000).unique()) for image in images]
    assert sum(count > 1 for count in sources) >= 3  # a boundary at the edge leaves one picture
    assert sum(count == 1 for count in sources) >= 5


def test_a_crop_larger_than_the_picture_is_refused(subset):
    with pytest.raises(ValueError, match=r"crop_px must be in 1\.\.16, got 17"):
        CropSampler(subset, crop_px=17, batch_size=1, seed=0)


@pytest.mark.parametrize("dataset", CLASSES)
def test_the_committed_split_cuts_no_group_and_repeats_no_picture(dataset):
    split = read_split(dataset)
    document = json.loads((SPLIT_DIR / f"{dataset}.json").read_text())
    train, val = set(split["train"]), set(split["val"])
    assert len(train) + len(val) == len(split["train"]) + len(split["val"])
    assert not train & val
    for members in document["groups"]:
        assert not (train & set(members) and val & set(members))
    assert 0.15 < len(val) / (len(train) + len(val)) < 0.25


def test_flipped_copies_are_in_training_only():
    assert not [name for name in read_split("googlemap_landcover")["val"] if "aug" in name]
