"""The hook brings the length of the data and the images of a step to the algorithm."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from mmrs.engine import QueueLengthHook
from mmrs.errors import ConfigError
from tests.models.selfsup.tiny_moco import make_moco


def runner(model: torch.nn.Module, **options) -> SimpleNamespace:
    return SimpleNamespace(model=model, train_dataloader=DataLoader(list(range(10)), **options))


def test_a_queue_too_long_stops_the_run():
    QueueLengthHook().before_train(runner(make_moco(queue_len=6), batch_size=4))
    with pytest.raises(ConfigError, match=r"queue_len is 7, but the data set has 10 images"):
        QueueLengthHook().before_train(runner(make_moco(queue_len=7), batch_size=4))


def test_images_of_all_processes_count(monkeypatch):
    monkeypatch.setattr("mmrs.engine.queue_length_hook.get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match=r"a step takes 8: .* Fix: set model.queue_len=2 or less"):
        QueueLengthHook().before_train(runner(make_moco(queue_len=6), batch_size=4))


def test_a_batch_sampler_tells_its_size():
    loader = DataLoader(list(range(10)), batch_size=4)
    other = runner(make_moco(queue_len=7), batch_sampler=loader.batch_sampler)
    with pytest.raises(ConfigError, match="a step takes 4"):
        QueueLengthHook().before_train(other)


def test_models_without_a_queue_are_left_alone():
    QueueLengthHook().before_train(runner(torch.nn.Linear(1, 1), batch_size=20))
