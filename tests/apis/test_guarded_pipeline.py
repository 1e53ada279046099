"""A pipeline that names the file when one of its steps goes wrong."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmrs.apis.guarded_pipeline import GuardedPipeline, guard_dataset
from mmrs.datasets.transforms.check_sample import CheckSample
from mmrs.errors import DataError, LabelError
from tests.apis.tiny_run import CLASSES, write_pairs

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
PACK = [{"type": "PackSegInputs"}]


def dataset(root, steps):
    return BaseSegDataset(
        data_root=str(root),
        data_prefix={"img_path": "img/train", "seg_map_path": "ann/train"},
        img_suffix=".png",
        metainfo={"classes": CLASSES},
        pipeline=[*LOAD, *steps, *PACK],
    )


@pytest.fixture
def scoped(tmp_path):
    from mmengine.registry import init_default_scope

    init_default_scope("mmseg")
    write_pairs(tmp_path, "train", 2)
    return tmp_path


def test_a_good_sample_is_what_the_pipeline_makes(scoped):
    plain, guarded = dataset(scoped, []), dataset(scoped, [])
    assert guard_dataset(guarded) == 1
    assert guard_dataset(guarded) == 0, "guarded once is enough"
    expected, found = plain[0], guarded[0]
    np.testing.assert_array_equal(found["inputs"], expected["inputs"])
    np.testing.assert_array_equal(
        found["data_samples"].gt_sem_seg.data, expected["data_samples"].gt_sem_seg.data
    )


def test_wrapped_data_sets_are_guarded(scoped):
    from mmengine.dataset import ConcatDataset, RepeatDataset

    inner = [dataset(scoped, []) for _ in range(3)]
    assert guard_dataset(ConcatDataset(inner[:2])) == 2
    assert guard_dataset(RepeatDataset(inner[2], times=2)) == 1
    assert all(isinstance(d.pipeline, GuardedPipeline) for d in inner)


def test_it_survives_the_way_to_a_spawned_worker(scoped):
    guarded = dataset(scoped, [])
    guard_dataset(guarded)
    again = pickle.loads(pickle.dumps(guarded))
    assert again[1]["inputs"].shape == (3, 32, 32)


def test_pixel_and_value_are_the_files_own_after_cropping(scoped):
    path = scoped / "ann" / "train" / "t0.png"
    label = np.array(Image.open(path))
    label[20, 9] = 9
    Image.fromarray(label).save(path)
    # bottom right quarter, enlarged: (20, 9) is elsewhere in the sample
    guarded = dataset(
        scoped, [{"type": "Resize", "scale": (64, 64)}, {"type": "RandomRotFlip", "flip_prob": 1.0}]
    )
    guard_dataset(guarded)
    with pytest.raises(LabelError, match=r"t0.png: value 9 at \(row 20, col 9\)"):
        guarded[0]


def test_ids_are_judged_after_they_are_mapped(scoped):
    write_pairs(scoped, "train", 2, values=(0, 255, 200))
    mapped = dataset(scoped, [{"type": "mmrs.MapLabels", "label_map": {200: 2, 255: 1}}])
    guard_dataset(mapped)
    ids = mapped[0]["data_samples"].gt_sem_seg.data.unique()
    assert ids.tolist() == [0, 1, 2]
    half = dataset(scoped, [{"type": "mmrs.MapLabels", "label_map": {255: 1}}])
    guard_dataset(half)
    with pytest.raises(LabelError, match="value 200"):
        half[0]


def test_a_transform_that_fails_is_named_with_the_file(scoped):
    def broken(results):
        raise IndexError("list index out of range")

    guarded = dataset(scoped, [])
    guarded.pipeline.transforms.insert(2, broken)
    guard_dataset(guarded)
    with pytest.raises(DataError, match=r"t1.png: function failed \(IndexError: list index"):
        guarded[1]


def test_a_label_that_a_transform_spoils_is_refused(scoped):
    class Spoil:
        def __call__(self, results):
            results["gt_seg_map"] = results["gt_seg_map"] + 5
            return results

    guarded = dataset(scoped, [])
    guarded.pipeline.transforms.insert(2, Spoil())
    guard_dataset(guarded)
    with pytest.raises(LabelError, match=r"t0.png: value"):
        guarded[0]


def test_a_sample_that_a_transform_drops_stays_dropped():
    pipeline = GuardedPipeline([lambda results: None], check=CheckSample(num_classes=2))
    assert pipeline({"img_path": "a.png"}) is None


class Numbered(BaseDataset):
    """Some images, which count themselves by ``image_id`` or by their place alone."""

    def __init__(self, count: int, *, own: bool) -> None:
        self.count, self.own = count, own
        super().__init__(pipeline=[])

    def load_data_list(self) -> list[dict]:
        return [{"image_id": i} if self.own else {} for i in range(self.count)]


def test_images_of_several_data_sets_have_numbers_of_their_own():
    """Pre-training would take them for views of one image."""
    several = ConcatDataset([Numbered(2, own=True), Numbered(3, own=False), Numbered(2, own=True)])
    assert guard_dataset(several) == 3
    found = [several[index] for index in range(7)]
    assert [info.get("image_id", info["sample_idx"]) for info in found] == list(range(7))
    alone = Numbered(2, own=True)
    guard_dataset(alone)
    assert [alone[index]["image_id"] for index in range(2)] == [0, 1]
