"""Pre-training on real data: no test picture, the same runs twice, and what the report says."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from benchmarks.real import pretrain_data, pretrain_drift, pretrain_moco, report
from benchmarks.real import train as real_train
from benchmarks.real.data import CLASSES, FOLDERS, read_split
from benchmarks.real.models import config_of
from benchmarks.real.pretrain import once, parse_args, plan
from benchmarks.real.pretrain_data import ViewSampler, few_names, unlabelled_paths
from benchmarks.real.pretrain_knn import colour_histograms
from benchmarks.real.pretrain_moco import (
    MoCoSettings,
    build_moco,
    compare_discrimination,
    pretrain,
    ranked,
)
from benchmarks.real.report_pretrain import discordant, mean_interval, said
from benchmarks.real.report_pretrain import report as fill_page
from benchmarks.real.train import Settings, train
from mmrs.apis.convert_weights import convert_weights
from mmrs.errors import DataError
from tests.benchmarks.test_train import toy_subset

pytestmark = [
    pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore``"),
    pytest.mark.filterwarnings("ignore:Fail to import ``MultiScaleDeformableAttention``"),
]
TINY = MoCoSettings(num_steps=6, crop_px=32, batch_size=4, queue_len=4, feat_dim=8, num_points=2)


def make_data(root: Path) -> Path:
    """Every picture of the committed splits by its own name, all of a few pixels."""
    picture = Image.new("RGB", (8, 8), (90, 120, 60))
    for dataset in CLASSES:
        names = [name for part in read_split(dataset).values() for name in part]
        for folder, images, masks, mask_suffix in FOLDERS[dataset]:
            base = root / dataset / folder
            for sub in (images, masks):
                (base / sub).mkdir(parents=True)
            for name in names:
                head, _, stem = name.partition("/")
                if head == Path(folder).name:
                    picture.save(base / images / f"{stem}.png")
                    picture.save(base / masks / f"{stem}{mask_suffix}")
    for scene in ("aGrass", "bField"):
        folder = root / pretrain_data.SCENES / scene
        folder.mkdir(parents=True)
        picture.save(folder / "1.jpg")
    return root


def test_no_test_picture_is_pre_trained_on(tmp_path):
    root = make_data(tmp_path)
    used = {path for path, _ in unlabelled_paths(root)}
    for dataset in CLASSES:
        split = read_split(dataset)
        by_name = {
            f"{Path(folder).name}/{path.stem}": path
            for folder, images, _, _ in FOLDERS[dataset]
            for path in (root / dataset / folder / images).iterdir()
        }
        assert split["val"] and used.isdisjoint(by_name[name] for name in split["val"])
        copies = {name for name in split["train"] if name.startswith("data_aug_rgba/")}
        taken = {name for name, path in by_name.items() if path in used}
        assert taken == set(split["train"]) - copies
    assert len([path for path in used if pretrain_data.SCENES in path.parts]) == 2
    # a list that named a test picture would be seen here
    name = read_split("googlemap_landcover")["train"][0]
    (root / "googlemap_landcover/data/imgs" / f"{name.partition('/')[2]}.png").unlink()
    with pytest.raises(DataError, match="1 pictures of googlemap_landcover are missing"):
        unlabelled_paths(root)


@pytest.mark.parametrize("shape", [(128, 128), (224, 224), (512, 500), (40, 70)])
def test_windows_cover_a_picture_once(shape):
    picture = np.arange(np.prod(shape)).reshape(*shape, 1)
    found = pretrain_data.cells(picture)
    assert sorted(np.concatenate([one.ravel() for one in found])) == list(range(picture.size))
    assert all(max(one.shape) < 2 * pretrain_data.WINDOW_PX for one in found)
    assert len(found) == {128: 1, 224: 4, 512: 16, 40: 1}[shape[0]]


@pytest.mark.parametrize("dataset", ["googlemap_landcover", "cloud_shadow"])
def test_a_tenth_of_the_labels_is_one_of_the_training_part(dataset):
    split = read_split(dataset)
    few = [few_names(dataset, 0.1, seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    assert len(few[0]) == round(0.1 * len(split["train"])) == len(set(few[0]))
    assert set(few[0]) <= set(split["train"]) and not set(few[0]) & set(split["val"])
    assert few_names(dataset, 1.0, 0) == tuple(split["train"])
    with pytest.raises(ValueError, match="ratio must be in"):
        few_names(dataset, 0.0, 0)


def test_both_arms_have_the_same_settings(tmp_path):
    runs = plan(parse_args(["--data", "d", "--out", str(tmp_path), "--budget", "7"]))
    assert len({path for path, *_ in runs}) == len(runs) == 2 * 2 * 2 * (6 + 6)
    for none, moco in zip(runs[::2], runs[1::2], strict=True):
        assert (none[2], moco[2]) == ("none", "moco")
        assert none[1] == moco[1] and none[3:] == moco[3:] and none[1]["budget_s"] == 7


def test_a_result_is_kept_until_something_else_decides_it(tmp_path):
    path = tmp_path / "new" / "one.json"
    assert once(path, {"a": 1}, lambda: {"miou": 0.1})["miou"] == 0.1
    assert once(path, {"a": 1}, lambda: pytest.fail("ran again"))["miou"] == 0.1
    assert once(path, {"a": 2}, lambda: {"miou": 0.2})["miou"] == 0.2
    path.write_text('{"fingerprint": ')  # killed while writing
    assert once(path, {"a": 2}, lambda: {"miou": 0.3})["miou"] == 0.3


def test_two_views_of_every_picture_once_an_epoch():
    pixels = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(4)]
    sampler = ViewSampler(pixels, crop_px=16, batch_size=2, seed=0)
    (first, second), ids = sampler.next_batch()
    assert sorted(ids + sampler.next_batch()[1]) == [0, 1, 2, 3]
    assert first.shape == second.shape == (2, 3, 16, 16) and not torch.equal(first, second)


def test_an_interrupted_pre_training_is_the_uninterrupted_one(tmp_path, monkeypatch):
    ticks = itertools.count()  # every step takes a sixteenth of a second
    clock = SimpleNamespace(process_time=lambda: next(ticks) / 16, monotonic=lambda: 0.0)
    monkeypatch.setattr(pretrain_moco, "time", clock)
    pixels = list(np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8))
    whole = pretrain(TINY, pixels, tmp_path / "whole.pth")
    step, calls = pretrain_moco._step, itertools.count()

    def killed_at_the_fifth(*args):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(pretrain_moco, "_step", killed_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        pretrain(TINY, pixels, tmp_path / "parts.pth")
    assert (tmp_path / "parts.partial").is_file() and not (tmp_path / "parts.pth").exists()
    monkeypatch.setattr(pretrain_moco, "_step", step)
    # what is drawn before the state is back must not matter
    parts = pretrain(TINY, pixels, tmp_path / "parts.pth")
    assert parts == whole and whole["iterations"] == 6 and len(whole["curve"]) == 2
    states = [torch.load(tmp_path / f"{name}.pth")["state_dict"] for name in ("whole", "parts")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not (tmp_path / "parts.partial").exists()
    told = compare_discrimination(TINY, pixels, tmp_path / "whole.pth")
    assert {arm: tops["num_views"] for arm, tops in told.items()} == {"random": 8, "moco": 8}


def test_old_keys_are_compared_with_the_same_views_encoded_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain_drift, "NUM_STEPS", 3)
    monkeypatch.setattr(pretrain_drift, "NUM_MEASURED", 1)
    pixels = list(np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8))
    torch.save({"state_dict": build_moco(TINY).state_dict()}, tmp_path / "moco.pth")
    seen = []

    def found_among(model, views, ids, keys, key_ids):
        seen.append((keys.clone(), key_ids.clone()))
        return [1.0, 2.0]

    monkeypatch.setattr(pretrain_drift, "found_among", found_among)
    told = pretrain_drift.measure(
        replace(TINY, lr=0.0, weight_decay=0.0), pixels, tmp_path / "moco.pth"
    )
    assert told["top1_top5"] == {"queue": [1.0, 2.0], "anew": [1.0, 2.0]}
    (queue, queue_ids), (anew, anew_ids) = seen
    # of the same pictures, in whichever order
    assert sorted(queue_ids.tolist()) == sorted(anew_ids.tolist())
    assert anew.shape == queue.shape


def test_converted_weights_start_the_backbone_and_leave_the_head_alone(tmp_path, monkeypatch):
    torch.manual_seed(5)
    model = build_moco(TINY)
    checkpoint, out = tmp_path / "moco.pth", tmp_path / "moco.safetensors"
    torch.save({"meta": {}, "state_dict": model.state_dict()}, checkpoint)
    target = Config({"model": {"backbone": config_of("hiresnet", 2)["backbone"]}})
    convert_weights(checkpoint, out, backbone_config=target, tell=lambda line: None)
    starts: list[dict] = []

    def remember(model, subset, num_classes, **options):
        starts.append({name: value.clone() for name, value in model.state_dict().items()})
        return np.eye(num_classes, dtype=np.int64)

    monkeypatch.setattr("benchmarks.real.train.confusion", remember)
    # a budget that is spent before the first step
    settings = Settings("cloud_shadow", "hiresnet", 0, 1e-9, 1e-3, 2, 32, num_evaluations=1)
    monkeypatch.setattr("benchmarks.real.train.step", lambda *args: 0.0)
    for weights in (out, None):
        train(settings, toy_subset(2), toy_subset(2), weights)
    pre_trained, random = starts
    wanted = model.backbone.state_dict()
    for name, value in random.items():
        part, _, key = name.partition(".")
        assert torch.equal(pre_trained[name], wanted[key] if part == "backbone" else value)
    assert any(not torch.equal(pre_trained[name], value) for name, value in random.items())


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_backbone_keeps_its_weights_and_the_head_learns(monkeypatch, frozen):
    starts, ends = [], []
    build = real_train.build

    def building(config):
        model = build(config)
        starts.append({name: value.clone() for name, value in model.named_parameters()})
        return model

    def remember(model, subset, num_classes, **options):
        ends.append(dict(model.named_parameters()))
        return np.eye(num_classes, dtype=np.int64)

    monkeypatch.setattr(real_train, "build", building)
    monkeypatch.setattr(real_train, "confusion", remember)
    # a budget that is spent by the first step
    settings = Settings("cloud_shadow", "hiresnet", 0, 1e-9, 1e-3, 2, 32, num_evaluations=1)
    train(settings, toy_subset(2), toy_subset(2), frozen=frozen)
    moved = {name for name, value in starts[0].items() if not torch.equal(value, ends[0][name])}
    assert any(name.startswith("backbone.") for name in moved) is not frozen
    assert any(name.startswith("decode_head") for name in moved)


def test_histograms_by_hand():
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0, 0] = (255, 31, 32)  # bins 7, 0, 1
    found = colour_histograms(pixels)[0]
    assert found.nonzero().flatten().tolist() == [0, 7 * 64 + 1]
    assert found[0] == pytest.approx(math.sqrt(3)) and found[7 * 64 + 1] == 1


def test_views_told_apart_by_hand():
    first = torch.eye(8)
    second = torch.eye(8)
    # the second view of picture 0 is of nothing; that of picture 1 looks like six others more
    second[0] = -1
    first[1] = torch.tensor([0, 1.0, 2, 2, 2, 2, 2, 2])
    assert ranked([first, second]) == {"num_views": 8, "top1": 75.0, "top5": 75.0}
    first[1] = torch.tensor([0, 1.0, 2, 2, 0, 0, 0, 0])  # two others: third, so among the first 5
    assert ranked([first, second]) == {"num_views": 8, "top1": 75.0, "top5": 87.5}


def test_the_interval_of_a_gain_by_hand():
    # 1, 2, 3: standard error 1 / sqrt 3, and Student's quantile for two degrees is 4.3027
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, low, high) == pytest.approx((2, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), 1e-4)
    assert said(np.array([1.0, 2.0, 3.0])).endswith("told apart from none")
    assert said(np.array([2.0, 2.1, 2.2])) == "+2.1 (+1.9 to +2.3; +2.0, +2.1, +2.2): **gain**"
    assert said(np.array([-2.0, -2.1, -2.2])).endswith("**loss**")
    assert said(np.array([9.0])) == "+9.0: one seed says nothing"
    # five coins, all heads: 2 / 32
    rows = {"a": {"right": [1, 1, 1, 1, 1, 0]}, "b": {"right": [0] * 6}}
    assert discordant(rows, "a", "b") == "5 / 0, 0.06"
    assert discordant(rows, "a", "a") == "0 / 0, 1.00"


def test_the_page_has_what_was_measured_and_no_more(tmp_path):
    folder = tmp_path / "cloud_shadow" / "pretrain"
    folder.mkdir(parents=True)
    for row, scores in {"none_10": (0.5, 0.6, 0.7), "moco_10": (0.55, 0.66)}.items():
        for seed, miou in enumerate(scores):
            run = {
                "miou": miou,
                "iterations": 10,
                "num_labelled": 28,
                "settings": {"seed": seed, "budget_s": 45.0},
            }
            (folder / f"{row}-seed{seed}.json").write_text(json.dumps(run))
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.START}\nold\n{report.END}\nbelow\n")
    fill_page(tmp_path, page)
    text = page.read_text()
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "\nold\n" not in text
    assert "| 28 pictures (10 %) | random | 10 | 60.0 ± 10.0 (50.0 to 70.0) |  |  |" in text
    # seed 2 has no partner: gains of seeds 0 and 1 alone
    assert "| MoCo v2 | 10 | 60.5 ± 7.8 (55.0 to 66.0) | +5.5 (-0.9 to +11.9; +5.0, +6.0)" in text
    assert "(100 %)" not in text and "googlemap" not in text
