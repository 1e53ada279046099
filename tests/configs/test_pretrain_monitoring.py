"""MoCo's configs watch their runs, and what they hold commented out works."""

import re

import pytest
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, HOOKS, DefaultScope
from mmengine.runner import LogProcessor
from torch.utils.data import DataLoader

from mmrs.engine import CurvesHook, EmbeddingSpreadHook, KNNHook, LinearProbeHook
from mmrs.engine.frozen_features import frozen_features
from tests.configs.small import CONFIGS, load
from tests.engine.tiny_pretraining import write_scenes
from tests.models.selfsup.tiny_moco import make_moco

MOCO = sorted(p.relative_to(CONFIGS).as_posix() for p in CONFIGS.glob("pretrain/*mocov2*.py"))
TINY = "pretrain/hiresnet_tiny_mocov2_rasters.py"


def test_there_are_some():
    assert TINY in MOCO and len(MOCO) >= 2


@pytest.mark.parametrize("name", MOCO)
def test_collapse_is_watched_and_accuracies_are_averaged(name):
    config = load(name)
    kinds = {type(HOOKS.build(hook)) for hook in config.custom_hooks}
    assert kinds == {EmbeddingSpreadHook, CurvesHook}
    pattern = LogProcessor(**config.log_processor).mean_pattern
    averaged = {"loss", "top1", "top5", "lr", "spread", "effective_rank", "time", "data_time"}
    averaged = {key for key in averaged if re.search(pattern, key)}
    assert averaged == {"loss", "top1", "top5", "time", "data_time"}


def test_the_hooks_that_need_labelled_scenes_work_when_they_are_taken_in(tmp_path):
    text = (CONFIGS / TINY).read_text("utf-8")
    start = text.index("# scenes = dict(")
    block = text[start : text.index("env_cfg", start)]
    taken = Config.fromstring(re.sub(r"(?m)^# ?", "", block), file_format=".py")
    taken.scenes.data_root = str(write_scenes(tmp_path))
    hooks = [HOOKS.build(hook) for hook in taken.custom_hooks]
    expected = [EmbeddingSpreadHook, KNNHook, LinearProbeHook, CurvesHook]
    assert [type(hook) for hook in hooks] == expected

    config = load(TINY)
    DefaultScope.get_instance("monitoring", scope_name=config.default_scope)
    dataset = DATASETS.build(taken.scenes)
    loader = DataLoader(dataset, batch_size=5, collate_fn=default_collate)
    assert dataset[0]["inputs"].shape == (3, 96, 96)
    model = make_moco(data_preprocessor=config.model.data_preprocessor)
    features, labels = frozen_features(model, loader)
    assert features.shape == (12, 10) and labels.bincount().tolist() == [4, 4, 4]
    for hook in hooks[1:3]:
        assert (hook.told(features, labels, 3) == labels).float().mean() > 0.9
