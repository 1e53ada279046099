"""Features in the middle of a run: what they are, and that the run is as it was."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader

from mmrs.engine.frozen_features import frozen_features, undisturbed
from mmrs.errors import ConfigError, DataError
from tests.engine.tiny_pretraining import pack_with_draws, scenes, write_scenes
from tests.models.selfsup.tiny_moco import make_moco


def loader_of(root, **options) -> DataLoader:
    dataset = DATASETS.build(scenes(root, **options))
    return DataLoader(dataset, batch_size=5, collate_fn=default_collate)


def generators() -> list:
    return [random.getstate()[1], np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


def test_features_are_those_of_the_evaluated_encoder(tmp_path):
    model = make_moco(norm="BN")
    torch.nn.init.constant_(model.backbone.first[1].running_mean, 0.5)
    loader = loader_of(write_scenes(tmp_path))
    features, labels = frozen_features(model, loader)
    model.eval()
    alone = [model.extract_feat(s["inputs"][None]).detach()[0] for s in loader.dataset]
    torch.testing.assert_close(features, torch.stack(alone))
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert not features.requires_grad and features.dtype == torch.float32


def test_nothing_of_the_run_changes(tmp_path):
    model = make_moco(norm="BN")
    model.backbone.first.eval()  # frozen on purpose
    loader = loader_of(write_scenes(tmp_path), pipeline=[pack_with_draws])
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    before = generators()
    frozen_features(model, loader)
    assert [module.training for module in model.modules()] == modes and True in modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert generators() == before
    assert torch.is_grad_enabled() and model.last_embeddings is None


def test_an_error_within_puts_all_back_too():
    model, before = make_moco(norm="BN"), generators()
    with pytest.raises(ZeroDivisionError), undisturbed(model):
        assert not model.training and not torch.is_grad_enabled()
        random.random(), np.random.random(), torch.rand(1)
        _ = 1 / 0
    assert model.training and model.backbone.first.training and generators() == before


def test_what_gives_no_features_is_told(tmp_path):
    loader = loader_of(write_scenes(tmp_path))
    with pytest.raises(ConfigError, match="Linear has no extract_feat"):
        frozen_features(torch.nn.Linear(1, 1), loader)
    model = make_moco()
    model.extract_feat = lambda images: model.backbone(images)
    with pytest.raises(ConfigError, match=r"extract_feat gives .*list.*, not a vector"):
        frozen_features(model, loader)
    model.extract_feat = lambda images: images
    with pytest.raises(ConfigError, match=r"extract_feat gives \(5, 3, 8, 8\), not a vector"):
        frozen_features(model, loader)


def unlabelled(results: dict) -> dict:
    return {**pack_with_draws(results), "data_samples": BaseDataElement()}


def cropped(results: dict) -> dict:
    results["img"] = results["img"][: 5 + results["sample_idx"]]
    return pack_with_draws(results)


def test_sets_that_cannot_be_used_are_told(tmp_path):
    write_scenes(tmp_path)
    with pytest.raises(ConfigError, match="a sample has no gt_label"):
        frozen_features(make_moco(), loader_of(tmp_path, pipeline=[unlabelled]))
    with pytest.raises(DataError, match=r"several sizes cannot be put into one batch.*Resize"):
        frozen_features(make_moco(), loader_of(tmp_path, pipeline=[cropped]))
