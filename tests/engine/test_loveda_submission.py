"""What the LoveDA server takes: ids 0-6, the image's name, a flat zip."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from mmrs.engine import LoveDASubmission
from mmrs.errors import ConfigError, DataError

CLASSES = ("background", "building", "road", "water", "barren", "forest", "agricultural")


def sample(ids, path="Test/Urban/images_png/5167.png"):
    return {
        "img_path": path,
        "reduce_zero_label": True,
        "pred_sem_seg": {"data": torch.tensor(ids)[None]},
    }


def make(folder):
    metric = LoveDASubmission(out_dir=str(folder))
    metric.dataset_meta = {"classes": CLASSES}
    return metric


def test_zip_is_flat_and_ids_are_not_shifted(tmp_path):
    metric = make(tmp_path / "out")
    first, second = [[0, 6]], [[3, 3]]
    metric.process({}, [sample(first), sample(second, "Test/Rural/images_png/4191.png")])
    metric.process({}, [sample(first)])  # a sample that a sampler repeats
    assert metric.evaluate(2) == {}
    with zipfile.ZipFile(tmp_path / "out" / "submission.zip") as archive:
        assert archive.namelist() == ["4191.png", "5167.png"]
        ids = np.array(Image.open(io.BytesIO(archive.read("5167.png"))))
    assert ids.dtype == np.uint8 and ids.tolist() == first


@pytest.mark.parametrize("value", [7, -1, 255])
def test_ids_out_of_range_are_refused_with_the_image(tmp_path, value):
    with pytest.raises(DataError, match=f"5167.png: predicted id {value}, but .* 0-6"):
        make(tmp_path).process({}, [sample([[0, value]])])
    assert not list(tmp_path.iterdir())


def test_other_class_counts_are_refused(tmp_path):
    metric = make(tmp_path)
    metric.dataset_meta = {"classes": CLASSES[:5]}
    with pytest.raises(ConfigError, match="7 classes, the data set has 5"):
        metric.process({}, [sample([[0]])])


def test_two_images_of_one_name_are_refused(tmp_path):
    metric = make(tmp_path)
    metric.process({}, [sample([[0]], "a/1.png"), sample([[1]], "b/1.png")])
    with pytest.raises(DataError, match=r"b/1.png: .* a/1.png"):
        metric.evaluate(2)
    assert not (tmp_path / "submission.zip").exists()
