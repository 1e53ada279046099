"""DeepLabV3's configs: sizes, stride, early stopping, data, and the CRF as one line."""

import pytest
import torch
from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS
from mmseg.registry import METRICS, MODELS
from mmseg.structures import SegDataSample
from torch import nn

from tests.configs.small import load

pytestmark = pytest.mark.filterwarnings("ignore:For binary segmentation:UserWarning")
# torchvision's networks less their classifiers: 1000 (c + 1) weights
BACKBONES = {
    "r34": 21_797_672 - 1000 * 513,
    "r50": 25_557_032 - 1000 * 2049,
    "r101": 44_549_160 - 1000 * 2049,
}


def build_on_meta(row: str) -> nn.Module:
    with torch.device("meta"):
        return MODELS.build(load(f"deeplabv3/deeplabv3_{row}_paddy.py").model)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("row", "channels", "millions"),
    [("r34", 512, 28.038), ("r50", 2048, 41.665), ("r101", 2048, 60.657)],
)
def test_parameters_are_those_of_resnet_and_aspp(row, channels, millions):
    model = build_on_meta(row)
    # image pooling and 1x1, three 3x3, the 3x3 over five of them, six norms, the classifier
    aspp = 256 * channels * (1 + 1 + 3 * 9) + 9 * 5 * 256 * 256 + 6 * 2 * 256 + 2 * 256 + 2
    assert count(model.backbone) == BACKBONES[row]
    assert count(model.decode_head) == aspp
    assert abs(count(model) / 1e6 - millions) < 0.001


@pytest.mark.parametrize("row", ["r34", "r50", "r101"])
def test_output_stride_is_16(row):
    model = build_on_meta(row)
    model.eval()
    features = model.backbone(torch.empty(1, 3, 256, 256, device="meta"))
    assert features[3].shape[-2:] == (16, 16)
    assert model.decode_head(features).shape == (1, 2, 16, 16)


def test_crf_changes_the_type_and_nothing_else():
    plain = load("deeplabv3/deeplabv3_r101_paddy.py").to_dict()
    refined = load("deeplabv3/deeplabv3_r101_crf_paddy.py").to_dict()
    assert plain["model"].pop("type") == "EncoderDecoder"
    assert refined["model"].pop("type") == "mmrs.CRFEncoderDecoder"
    assert plain == refined
    model = build_on_meta("r101_crf")
    assert model.crf == {}  # the defaults of the function
    assert list(model.state_dict()) == list(build_on_meta("r101").state_dict())


@pytest.mark.parametrize("row", ["r34", "r50", "r101"])
def test_early_stopping_watches_a_score_that_the_metric_gives(row):
    config = load(f"deeplabv3/deeplabv3_{row}_paddy.py")
    (settings,) = config.custom_hooks
    hook = HOOKS.build(settings)
    assert isinstance(hook, EarlyStoppingHook)
    assert hook.rule == "greater"
    metric = METRICS.build(config.val_evaluator)
    metric.dataset_meta = {"classes": ("non-paddy", "paddy")}
    label = torch.tensor([[[0, 1], [1, 0]]])
    sample = SegDataSample().to_dict()
    sample.update(pred_sem_seg={"data": label}, gt_sem_seg={"data": label})
    metric.process({}, [sample])
    scores = metric.evaluate(1)
    assert hook.monitor in scores
    assert scores[hook.monitor] == 100  # percent, so min_delta = 0.1 is a tenth of a point
    assert config.default_hooks.checkpoint.save_best == hook.monitor


def test_patches_are_divided_80_to_20_and_rotated_for_training_only():
    config = load("deeplabv3/deeplabv3_r50_paddy.py")
    train, val = config.train_dataloader.dataset, config.val_dataloader.dataset
    assert (train.split, val.split) == ("train", "val")
    assert tuple(train.rotations) == (0, 90, 180, 270)
    assert "rotations" not in val
    for dataset in (train, val):
        assert "val_ratio" not in dataset  # 0.2 by default
        assert "split_seed" not in dataset
    assert config.optim_wrapper.optimizer.type == "AdamW"
    assert config.model.decode_head.loss_decode.type == "CrossEntropyLoss"
