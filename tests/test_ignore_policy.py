"""One ignore policy: what is no data, or has no label, changes nothing from raster to score.

A scene and its twin: equal wherever image and label count, other values wherever one of them does
not. The network looks at single pixels, so that nothing could leak but through the policy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.evaluate_scene import evaluate_scenes
from mmrs.apis.predict import predict_scene
from mmrs.apis.window.window_model import SegmentorWindowModel
from mmrs.datasets import RasterSegDataset
from mmrs.engine import BoundaryMetric, ISPRSMetric, SegMetric
from mmrs.engine.seg_metric import METRIC_NAMES

CLASSES = ("field", "water", "clutter")
PALETTE = ((120, 180, 90), (60, 90, 200), (90, 90, 90))
SHAPE = (28, 36)
PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)}
GAP = np.s_[:, 30:]  # the image holds no data
UNLABELLED = np.s_[18:24, 4:16]  # the label file declares nodata
IGNORED = np.s_[3:9, 5:12]  # the label file says 255
META_KEYS = ("img_path", "seg_map_path", "window", "gsd_m", "ori_shape", "img_shape")


@MODELS.register_module()
class SinglePixels(nn.Module):
    """A backbone without weights: features are the pixels."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x]


def without_data(kind: str, image: np.ndarray) -> float | None:
    """Put the gap into the image, as each kind of raster has it; returns the declared nodata."""
    image[GAP] = np.nan if kind == "float32" else 0
    return 0 if kind == "uint16" else None


def write(path: Path, pixels: np.ndarray, nodata: float | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = pixels.shape
    profile = {"height": height, "width": width, "count": count, "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", nodata=nodata, **profile, **PLACE) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
    return path


@pytest.fixture(params=["uint16", "float32"])
def twins(request, tmp_path: Path) -> list[Path]:
    """Two folders, ``img/s.tif`` and ``ann/s.tif`` in each; uint16 with nodata 0, or with NaN."""
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 3, (7, 9)), np.ones((4, 4), int)).astype(np.uint8)
    label[IGNORED] = 255
    label[UNLABELLED] = 9
    image = (rng.integers(100, 900, (*SHAPE, 4)) + 60 * label[..., None]).astype(request.param)
    nodata = without_data(request.param, image)
    other_label, other_image = label.copy(), image.copy()
    for area in (UNLABELLED, IGNORED):
        other_image[area] = rng.integers(100, 900, other_image[area].shape)
    # no label counts where the image holds no data, whatever it says
    other_label[GAP] = rng.integers(0, 3, other_label[GAP].shape)
    other_label[20, 32] = 255
    for name, pixels, ids in (("one", image, label), ("two", other_image, other_label)):
        write(tmp_path / name / "img" / "s.tif", pixels, nodata)
        write(tmp_path / name / "ann" / "s.tif", ids[..., None], 9)
    return [tmp_path / "one", tmp_path / "two"]


def make_dataset(folder: Path) -> RasterSegDataset:
    init_default_scope("mmseg")
    return RasterSegDataset(
        data_root=str(folder),
        images="img",
        labels="ann",
        metainfo={"classes": CLASSES, "palette": PALETTE},
        window_sampler={"type": "grid", "size": 16, "stride": 10},
        scaling={"type": "meanstd", "mean": [500.0] * 4, "std": [200.0] * 4},
        cache_dir=str(folder / "cache"),
        pipeline=[{"type": "PackSegInputs", "meta_keys": META_KEYS}],
    )


def make_model() -> nn.Module:
    init_default_scope("mmseg")
    torch.manual_seed(0)
    head = {
        "type": "FCNHead",
        "in_channels": 4,
        "channels": 4,
        "num_convs": 0,
        "concat_input": False,
        "dropout_ratio": 0,
        "num_classes": 3,
        "loss_decode": {"type": "mmrs.JointLoss"},
    }
    cfg = Config(
        {
            "type": "EncoderDecoder",
            "data_preprocessor": {"type": "SegDataPreProcessor", "size": (16, 16)},
            "backbone": {"type": "SinglePixels"},
            "decode_head": head,
            "test_cfg": {"mode": "whole"},
        }
    )
    model = MODELS.build(cfg)
    nn.init.normal_(model.decode_head.conv_seg.weight)
    return model.eval()


def batch_of(dataset: RasterSegDataset) -> dict:
    samples = [dataset[index] for index in range(len(dataset))]
    return {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}


def test_every_kind_of_no_data_is_label_255_and_image_0(twins):
    for folder in twins:
        dataset = make_dataset(folder)
        for index in range(len(dataset)):
            sample = dataset.load_sample(index)
            row, col, height, width = sample["window"]
            rows, cols = slice(row, row + height), slice(col, col + width)
            gap, expected = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
            for area in (GAP, UNLABELLED, IGNORED):
                expected[area] = True
            gap[GAP] = True
            np.testing.assert_array_equal(sample["gt_seg_map"] == 255, expected[rows, cols])
            assert (sample["img"][gap[rows, cols]] == 0).all()
            assert np.isfinite(sample["img"]).all()


def test_loss_and_gradient_are_those_of_the_twin(twins):
    losses, gradients, inputs = [], [], []
    for folder in twins:
        model = make_model()
        data = model.data_preprocessor(batch_of(make_dataset(folder)), training=True)
        loss = sum(v for k, v in model.loss(**data).items() if "loss" in k)
        loss.backward()
        losses.append(loss.detach())
        gradients.append([p.grad for p in model.parameters()])
        inputs.append(data["inputs"])
    assert losses[0] > 0 and torch.equal(*losses)
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))
    assert any((gradient != 0).any() for gradient in gradients[0])
    assert not torch.equal(*inputs), "the twins must differ for this to say anything"


@pytest.mark.parametrize("stitch", [False, True])
def test_every_metric_is_that_of_the_twin(twins, stitch):
    values, predictions = [], []
    for folder in twins:
        dataset, model = make_dataset(folder), make_model()
        with torch.no_grad():
            samples = [s.to_dict() for s in model.test_step(batch_of(dataset))]
        predictions.append(torch.stack([s["pred_sem_seg"]["data"] for s in samples]))
        values.append([])
        for metric in (
            SegMetric(score_names=METRIC_NAMES, stitch=stitch),
            ISPRSMetric(stitch=stitch),
            BoundaryMetric(width_m=1.0, stitch=stitch),
        ):
            metric.dataset_meta = dataset.metainfo
            metric.process({}, samples)
            scores = metric.evaluate(len(samples))
            counts = getattr(metric.scores, "matrix", None)
            counts = metric.scores.counts if counts is None else counts
            values[-1].append((scores, counts.tolist()))
            assert counts.sum() > 0
    assert values[0] == values[1]
    assert not torch.equal(*predictions), "the twins must differ for this to say anything"


def test_no_data_becomes_nodata_of_the_map_and_scenes_score_as_their_twins(twins):
    scores, maps = [], []
    for folder in twins:
        dataset = make_dataset(folder)
        dataset.full_init()
        contract = ChannelContract(
            bands=4, dtype=dataset.dtype, scaling=dataset.scaling, fills_gaps=True
        )
        model = SegmentorWindowModel(
            make_model(),
            contract=contract,
            classes=CLASSES,
            palette=PALETTE,
            window=(16, 16),
            stride=(9, 9),
        )
        out = folder / "map.tif"
        written = predict_scene(folder / "img" / "s.tif", out, model)
        with rasterio.open(out) as dataset_of_map:
            assert dataset_of_map.nodata == 255
            maps.append(dataset_of_map.read(1))
        gap = np.zeros(SHAPE, bool)
        gap[GAP] = True
        np.testing.assert_array_equal(maps[-1] == 255, gap)
        assert written.nodata_pixels == gap.sum()
        names = [*METRIC_NAMES, "bIoU", "bF1"]
        found = evaluate_scenes([(out, folder / "ann" / "s.tif")], metrics=names, boundary_px=2)
        scores.append((found.values, found.scores.matrix.tolist(), found.boundary.counts.tolist()))
    assert scores[0] == scores[1]
    assert (maps[0] != maps[1]).any(), "the twins must differ for this to say anything"
