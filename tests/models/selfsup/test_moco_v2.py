"""MoCo v2 against a slow one written from the paper; BatchNorm does not give its task away."""

import copy
import math
import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import BaseDataElement

from mmrs.errors import ConfigError
from mmrs.models.selfsup.moco_v2 import MoCoV2
from tests.models.selfsup.tiny_moco import make_moco, make_views

ROOT = Path(__file__).resolve().parents[3]
STEPS = [[0, 1], [2, 3], [1, 0], [3, 2], [0, 3], [1, 2]]


def embed(parts, view):
    pooled = parts["neck"](parts["backbone"](view))
    return F.normalize(parts["projector"]((pooled,))[0], dim=1)


def slow_run(model: MoCoV2, lr: float) -> list[float]:
    """Losses of MoCo v2 by its algorithm: a deque, sums of exponentials, averages one by one."""
    names = ("backbone", "neck", "projector")
    queries = torch.nn.ModuleDict({n: copy.deepcopy(getattr(model, n)) for n in names})
    keys = copy.deepcopy(queries)
    queue = deque([(-1, key) for key in model.queue.clone()], maxlen=model.queue_len)
    m, losses = model.key_momentum, []
    for step, ids in enumerate(STEPS):
        if step:
            for ours, theirs in zip(keys.parameters(), queries.parameters(), strict=True):
                ours.data = m * ours.data + (1 - m) * theirs.data
        (first, second), _ = make_views(ids, seed=step)
        with torch.no_grad():
            k = embed(keys, second)
        q = embed(queries, first)
        total = 0.0
        for n, image in enumerate(ids):
            own = ((q[n] * k[n]).sum() / model.temperature).exp()
            others = sum(
                ((q[n] * key).sum() / model.temperature).exp()
                for known, key in queue
                if known != image
            )
            total = total - (own / (own + others)).log() / len(ids)
        losses.append(total.item())
        queries.zero_grad()
        total.backward()
        for parameter in queries.parameters():
            parameter.data -= lr * parameter.grad
        queue.extend(zip(ids, k, strict=True))
    return losses


@pytest.mark.parametrize("queue_len", [2, 5, 7])
def test_six_steps_are_those_of_the_paper(queue_len):
    model = make_moco(queue_len=queue_len)
    slow = slow_run(model, lr=0.5)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for step, ids in enumerate(STEPS):
        found = model(*make_views(ids, seed=step), mode="loss")
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
        losses.append(found["loss"].item())
    assert len(set(losses)) == len(losses)
    assert losses == pytest.approx(slow, rel=1e-4)


def test_keys_follow_once_for_each_step_of_the_optimiser():
    """Three small steps of one big one: with an average at each, m would be m cubed."""
    model = make_moco()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5), accumulative_counts=3)
    wrapper.initialize_count_status(model, 0, 9)
    weight = model.backbone.second.weight
    by_hand = weight.detach().clone()
    for step in range(9):
        if step in (3, 6):  # the optimiser stepped at the end of steps 2 and 5
            by_hand = 0.9 * by_hand + 0.1 * weight.detach()
        found = model(*make_views([0, 1], seed=step), mode="loss")
        wrapper.update_params(found["loss"])
        torch.testing.assert_close(model.encoder_k["backbone"].second.weight, by_hand)
    assert model.key_updates == 3
    assert not torch.equal(by_hand, weight)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {"foreach": flag}) for kind in ("SGD", "AdamW") for flag in (False, True)),
        *(("AdamW", {"fused": True}), ("SGD", {"fused": True}), ("Adam", {"amsgrad": True})),
    ],
)
def test_keys_follow_every_kind_of_optimiser(kind, options):
    model = make_moco()
    optimiser = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **options)
    for step in range(3):
        model(*make_views([0, 1], seed=step), mode="loss")["loss"].backward()
        optimiser.step()
    assert model.key_updates == 3


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_loss_scaler_leaves_out_moves_no_keys(fused):
    """Fused optimisers are called by the scaler all the same, and leave it out themselves."""
    model = make_moco()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    weight = model.backbone.second.weight
    changed = 0
    for step in range(5):
        found = model(*make_views([0, 1], seed=step), mode="loss")
        assert model.key_updates == 1 + changed
        optimiser.zero_grad()
        scaler.scale(found["loss"]).backward()
        if step in (1, 2):
            weight.grad.fill_(math.inf)
        before = weight.detach().clone()
        scaler.step(optimiser)
        scaler.update()
        changed += not torch.equal(before, weight)
    assert changed == 3


def test_a_key_that_is_no_number_does_not_enter_the_queue():
    """Else every loss would be none until it has left, and a loss scaler would go down to 0."""
    model = make_moco(queue_len=8)
    for step, ids in enumerate([[0, 1], [2, 3], [4, 5]]):
        views, samples = make_views(ids, seed=step)
        if step == 1:
            views[1][0, 1] = math.nan
        found = model(views, samples, mode="loss")
        assert torch.isfinite(found["loss"]) == (step != 1)
    assert model.queue_ids.tolist() == [0, 1, 3, 4, 5, -1, -1, -1]
    assert model.queue_pointer == 5
    assert torch.isfinite(model.queue).all()


def test_only_steps_of_its_own_optimiser_count():
    model, other = make_moco(), torch.nn.Linear(1, 1)
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
    for step in range(3):
        model(*make_views([0, 1], seed=step), mode="loss")
        other(torch.ones(1, 1)).sum().backward()
        optimiser.step()
    assert model.key_updates == 1


def test_a_copy_and_a_pickle_follow_their_own_optimiser():
    model = make_moco()
    model(*make_views([0, 1], seed=0), mode="loss")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
        for step in range(2):
            other(*make_views([0, 1], seed=step), mode="loss")["loss"].backward()
            optimiser.step()
        assert other.key_updates == 3
    assert model.key_updates == 1


def test_running_statistics_of_the_keys_are_their_own():
    model = make_moco(norm="BN")
    norm, key_norm = model.backbone.first[1], model.encoder_k["backbone"].first[1]
    torch.nn.init.constant_(norm.running_mean, 5.0)
    (first, _), samples = make_views([0, 1, 2, 3], seed=0)
    model([first, first + 100], samples, mode="loss")
    # they began as a copy, then saw two groups of two keys each, at a momentum of 0.1
    seen = model.encoder_k["backbone"].first[0](first + 100)[[0, 2, 1, 3]]
    expected = torch.full((4,), 5.0)
    for group in seen.chunk(2):
        expected = 0.9 * expected + 0.1 * group.mean(dim=(0, 2, 3))
    torch.testing.assert_close(key_norm.running_mean, expected.detach())
    assert not torch.equal(key_norm.running_mean, norm.running_mean)


@pytest.mark.parametrize("batch", [4, 6, 9])
def test_statistics_of_a_key_hold_no_image_of_its_querys_group_but_its_own(batch):
    model = make_moco(norm="BN")
    model(*make_views(list(range(batch)), seed=0), mode="loss")
    query_groups, key_groups = model.backbone.seen, model.encoder_k["backbone"].seen
    assert len(query_groups) == len(key_groups) > 1
    for image in range(batch):
        (of_query,) = (set(group) for group in query_groups if image in group)
        (of_key,) = (set(group) for group in key_groups if image in group)
        assert of_query & of_key == {image}


def test_without_groups_the_two_views_share_their_statistics():
    """What the test before this one would look like if nothing were done."""
    model = make_moco(norm="BN", bn_groups=1)
    model(*make_views([0, 1, 2, 3], seed=0), mode="loss")
    assert model.backbone.seen == model.encoder_k["backbone"].seen == [[0, 1, 2, 3]]


@pytest.mark.parametrize("norm", ["none", "GN"])
def test_without_batch_norm_a_batch_stays_whole(norm):
    model = make_moco(norm=norm)
    model(*make_views([0, 1, 2, 3], seed=0), mode="loss")
    assert model.backbone.seen == [[0, 1, 2, 3]]


def test_groups_change_no_key_but_by_its_statistics():
    """The keys come back in the order of their queries: the positives are right."""
    whole, grouped = make_moco(norm="none"), make_moco(norm="none")
    grouped._uses_batch_statistics = lambda: True
    batch = make_views([3, 1, 0, 2], seed=0)
    torch.testing.assert_close(
        grouped(*batch, mode="loss")["loss"], whole(*batch, mode="loss")["loss"]
    )
    assert len(grouped.backbone.seen) == 2
    torch.testing.assert_close(grouped.queue, whole.queue)
    assert torch.equal(grouped.queue_ids, whole.queue_ids)


def test_keys_of_an_images_earlier_views_are_no_negatives():
    model = make_moco(queue_len=2)
    for step, ids in enumerate([[0, 1], [0, 1], [2, 3]]):
        found = model(*make_views(ids, seed=step), mode="loss")
        if step == 1:
            # each query meets its own key and the other image's one
            assert model.queue_ids.tolist() == [0, 1]
            assert found["top5"] == 100
            assert 0 < found["loss"] < math.log(1 + math.exp(2 / 0.2))
    one = make_moco(queue_len=1)
    for step in range(2):
        found = one(*make_views([7], seed=step), mode="loss")
    assert found["loss"] == 0  # the only key in the queue is its own


def test_embeddings_and_features_are_kept_and_given():
    model = make_moco()
    assert model.last_embeddings is None
    (first, second), samples = make_views([0, 1, 2], seed=0)
    found = model([first, second], samples, mode="loss")
    kept = model.last_embeddings
    assert kept.shape == (3, 5) and kept.dtype == torch.float32 and not kept.requires_grad
    torch.testing.assert_close(kept.norm(dim=1), torch.ones(3))
    assert set(found) == {"loss", "top1", "top5"}
    assert model(first).shape == (3, 10)
    torch.testing.assert_close(model(first), model.neck(model.backbone(first)))


def test_half_precision_keeps_loss_queue_and_embeddings_in_float32():
    whole, half = make_moco(norm="BN"), make_moco(norm="BN")
    batch = make_views([0, 1, 2, 3], seed=0)
    exact = whole(*batch, mode="loss")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = half(*batch, mode="loss")
    found["loss"].backward()
    assert found["loss"].dtype == half.queue.dtype == half.last_embeddings.dtype == torch.float32
    torch.testing.assert_close(found["loss"], exact["loss"], atol=0.1, rtol=0.1)
    assert all(torch.isfinite(p.grad).all() for p in half.backbone.parameters())


def trained_moco(**options):
    model = make_moco(**options)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        optimiser.zero_grad()
        model(*make_views([2 * step, 2 * step + 1], seed=step), mode="loss")["loss"].backward()
        optimiser.step()
    return model


@pytest.mark.parametrize("change", ["projector", "bands"])
def test_a_key_encoder_that_fits_in_part_starts_as_a_copy_of_the_query_encoder(change):
    """As MMEngine loads it: what has another shape is left out first (`load_from`)."""
    state = trained_moco().state_dict()
    gone = {"projector": "projector.linear.weight", "bands": "backbone.first.0.weight"}[change]
    state = {name: value for name, value in state.items() if name != f"encoder_k.{gone}"}
    model = make_moco(seed=1)
    for part in ("backbone", "projector"):
        for weight in getattr(model, part).parameters():  # what init_weights does, after the copy
            torch.nn.init.normal_(weight)
    load_state_dict(model, state)
    model(*make_views([0, 1], seed=0), mode="loss")
    for name in ("backbone", "projector"):
        theirs = getattr(model, name).state_dict()
        for key, value in model.encoder_k[name].state_dict().items():
            assert torch.equal(value, theirs[key]), key


@pytest.mark.parametrize("queue_len", [2, 5, 9])
def test_weights_with_another_queue_go_on_with_their_keys(queue_len):
    trained = trained_moco()
    state = trained.state_dict()
    if queue_len != 5:
        state = {k: v for k, v in state.items() if k not in ("queue", "queue_ids")}
    model = make_moco(queue_len=queue_len, seed=1)
    load_state_dict(model, state)
    assert model.key_updates == trained.key_updates == 3
    before = model.encoder_k["projector"].linear.weight.clone()
    model(*make_views([20, 21], seed=9), mode="loss")
    after = 0.9 * before + 0.1 * model.projector.linear.weight
    torch.testing.assert_close(model.encoder_k["projector"].linear.weight, after)
    # the newest keys, wherever the pointer was
    assert {20, 21} <= set(model.queue_ids.tolist())
    assert model.queue_pointer == (6 % 5 + 2) % queue_len


def test_evaluation_moves_neither_queue_nor_keys():
    model = make_moco(norm="BN").eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(*make_views([0, 1], seed=0), mode="loss")
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("queue_len", 0, "MoCoV2.queue_len: must be >= 1, got 0"),
        ("key_momentum", 1.0, r"MoCoV2.key_momentum: must be in \[0, 1\), near 1, got 1.0"),
        ("temperature", 0, "MoCoV2.temperature: must be > 0, got 0"),
        ("bn_groups", "some", "MoCoV2.bn_groups: must be 'auto' or >= 1, got 'some'"),
    ],
)
def test_options_out_of_range_are_told(option, value, message):
    with pytest.raises(ConfigError, match=message):
        make_moco(**{option: value})


def test_options_change_the_loss():
    batch = make_views([0, 1, 2, 3], seed=0)
    plain = make_moco(norm="BN")(*batch, mode="loss")["loss"]
    for option in ({"temperature": 0.5}, {"bn_groups": 4}, {"queue_len": 9}):
        assert make_moco(norm="BN", **option)(*batch, mode="loss")["loss"] != plain


@pytest.mark.parametrize(("images", "step", "most"), [(100, 8, 92), (10, 8, 2)])
def test_a_queue_longer_than_the_data_set_less_a_step_says_what_to_set(images, step, most):
    make_moco(queue_len=most).check_queue(images, step)
    with pytest.raises(ConfigError, match=rf"queue_len is {most + 1}, .*model.queue_len={most} or"):
        make_moco(queue_len=most + 1).check_queue(images, step)


def test_too_few_images_are_told():
    with pytest.raises(ConfigError, match="use more than 8 images, or a smaller batch"):
        make_moco().check_queue(8, 8)


def test_wrong_batches_are_told():
    batch = make_views([0, 1, 2], seed=0)
    with pytest.raises(ConfigError, match=r"keys have 5 channels. Fix: set model.feat_dim=5"):
        make_moco(feat_dim=4)(*batch, mode="loss")
    (first, second), samples = make_views([0, 1, 2], seed=0)
    with pytest.raises(ConfigError, match=r"two views. Fix: use mmrs.TwoViews"):
        make_moco()([first], samples, mode="loss")
    with pytest.raises(ConfigError, match=r"which image they show. Fix: let PackInputs keep"):
        make_moco()([first, second], [BaseDataElement()] * 3, mode="loss")
    with pytest.raises(ConfigError, match="3 does not divide into bn_groups=2"):
        make_moco(norm="BN", bn_groups=2)([first, second], samples, mode="loss")
    with pytest.raises(ValueError, match="mode must be 'loss' or 'tensor', got 'predict'"):
        make_moco()(first, mode="predict")


def test_checkpoints_begin_with_the_backbone_and_hold_queue_and_ids():
    state = make_moco().state_dict()
    assert "backbone.second.weight" in state
    assert "encoder_k.backbone.second.weight" in state
    assert {"queue", "queue_ids", "queue_pointer", "key_updates"} <= set(state)


def test_two_processes_have_the_loss_gradient_and_queue_of_one(tmp_path):
    """BatchNorm in training: what two processes normalise apart, one normalises in two groups."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.models.selfsup.two_processes", str(tmp_path)],
            cwd=ROOT,
            env={
                **os.environ,
                **{"RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            },
        )
        for rank in range(2)
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]

    from tests.models.selfsup.two_processes import IDS, run

    alone = run(make_moco(norm="BN", bn_groups=2), IDS)
    for step in range(len(IDS)):
        mean = sum(rank["loss"][step] for rank in ranks) / 2
        torch.testing.assert_close(mean, alone["loss"][step])
    for name, gradient in alone["gradient"].items():
        torch.testing.assert_close(ranks[0]["gradient"][name], gradient, atol=1e-6, rtol=1e-4)
    for rank in ranks:
        torch.testing.assert_close(rank["queue"], alone["queue"])
        assert torch.equal(rank["queue_ids"], alone["queue_ids"])
    # a key's statistics come from both processes
    assert all({i % 2 for i in group} == {0, 1} for rank in ranks for group in rank["key_groups"])
