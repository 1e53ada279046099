"""Collapse is said once, and only where there is one."""

import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub

from mmrs.engine import EmbeddingSpreadHook
from mmrs.errors import ConfigError
from mmrs.ops.embedding_spread import effective_rank, embedding_spread
from tests.engine.tiny_pretraining import lines_of, make_runner
from tests.models.selfsup.tiny_moco import make_moco

NUMBERS = itertools.count()


def runner_of(embeddings) -> SimpleNamespace:
    model = SimpleNamespace(last_embeddings=embeddings)
    hub = MessageHub.get_instance(f"hub {next(NUMBERS)}")
    return SimpleNamespace(model=model, iter=0, message_hub=hub)


def run(hook, batches) -> SimpleNamespace:
    """Every batch of embeddings is that of a step."""
    runner = runner_of(None)
    for step, batch in enumerate(batches):
        runner.iter, runner.model.last_embeddings = step, batch
        hook.after_train_iter(runner, step)
    return runner


def unit(count=8, dim=6) -> torch.Tensor:
    return F.normalize(torch.randn(count, dim), dim=1)


def logged(runner, name) -> list[float]:
    return runner.message_hub.get_scalar(f"train/{name}").data[0].tolist()


def test_the_newest_embeddings_that_are_enough_are_measured():
    batches = [unit() for _ in range(6)]
    runner = run(EmbeddingSpreadHook(interval=3, num_embeddings=12), batches)
    taken = [torch.cat(batches[1:3]), torch.cat(batches[4:6])]
    assert logged(runner, "spread") == [embedding_spread(e) for e in taken]
    assert logged(runner, "effective_rank") == [effective_rank(e) for e in taken]
    one = run(EmbeddingSpreadHook(interval=6, num_embeddings=8), batches)
    assert logged(one, "spread") == [embedding_spread(batches[-1])]


def test_nothing_is_measured_before_there_are_enough():
    batches = [unit() for _ in range(4)]
    runner = run(EmbeddingSpreadHook(interval=1, num_embeddings=24), batches)
    taken = [torch.cat(batches[:3]), torch.cat(batches[1:])]
    assert logged(runner, "effective_rank") == [effective_rank(e) for e in taken]


@pytest.mark.parametrize("kind", ["point", "opposite points"])
def test_collapse_is_told_once_after_its_patience(kind, capsys):
    point = unit(1).repeat(8, 1)
    if kind == "opposite points":
        point[::2] *= -1
    hook = EmbeddingSpreadHook(interval=1, num_embeddings=8, patience=3)
    told = []
    for _ in range(5):
        run(hook, [point])
        told.append(capsys.readouterr().out)
    assert ["have collapsed" in text for text in told] == [False, False, True, False, False]
    assert "effective rank 1.0 (below 1.5)" in told[2]
    assert "3 measurements in a row. Try a lower learning rate" in told[2]


def test_what_recovers_or_is_even_or_is_not_finite_is_no_collapse(capsys):
    point, broken = unit(1).repeat(8, 1), torch.full((8, 6), torch.nan)
    hook = EmbeddingSpreadHook(interval=1, num_embeddings=8, patience=2)
    run(hook, [point, unit(), point, unit(), broken, broken, broken])
    assert not hook.warned and "collapsed" not in capsys.readouterr().out


def test_thresholds_move_what_counts_as_collapse():
    line = F.normalize(torch.ones(1, 6) + 0.3 * torch.randn(8, 6), dim=1)
    spread, rank = embedding_spread(line), effective_rank(line)
    for options, expected in (
        ({"least_spread": spread * 0.9, "least_rank": 0}, False),
        ({"least_spread": spread * 1.1, "least_rank": 0}, True),
        ({"least_spread": 0, "least_rank": rank * 0.9}, False),
        ({"least_spread": 0, "least_rank": rank * 1.1}, True),
    ):
        hook = EmbeddingSpreadHook(interval=1, num_embeddings=8, patience=1, **options)
        run(hook, [line])
        assert hook.warned is expected


def test_a_run_logs_spread_and_rank_with_its_loss(tmp_path):
    hook = {"type": "mmrs.EmbeddingSpreadHook", "interval": 2, "num_embeddings": 8}
    runner = make_runner(tmp_path, [hook], steps=4)
    runner.train()
    assert len(logged(runner, "spread")) == len(logged(runner, "effective_rank")) == 2
    assert f"spread: {logged(runner, 'spread')[1]:.4f}" in lines_of(runner)


def test_a_run_whose_weights_die_is_told(tmp_path):
    model = make_moco(norm="BN")
    for parameter in model.projector.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(model.projector.linear.bias)  # the same embedding for every image
    hook = EmbeddingSpreadHook(interval=1, num_embeddings=4, patience=2)
    runner = make_runner(
        tmp_path,
        [hook],
        steps=3,
        model=model,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0}},
    )
    runner.train()
    assert lines_of(runner).count("embeddings have collapsed: spread 0.000") == 1


def test_an_algorithm_without_embeddings_is_told():
    with pytest.raises(ConfigError, match="keeps no last_embeddings"):
        EmbeddingSpreadHook().after_train_iter(runner_of(None), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "EmbeddingSpreadHook.interval: must be >= 1, got 0"),
        ({"num_embeddings": 1}, "EmbeddingSpreadHook.num_embeddings: must be >= 2, got 1"),
        ({"least_spread": 2}, r"EmbeddingSpreadHook.least_spread: must be in \[0, 1\], got 2"),
        ({"least_rank": -1}, "EmbeddingSpreadHook.least_rank: must be >= 0, got -1"),
        ({"patience": 0}, "EmbeddingSpreadHook.patience: must be >= 1, got 0"),
    ],
)
def test_options_out_of_range_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        EmbeddingSpreadHook(**options)
