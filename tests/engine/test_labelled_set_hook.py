"""When labelled sets are measured, what is logged, and that training goes on as without."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmrs.datasets import SceneFoldersDataset
from mmrs.engine import KNNHook, LinearProbeHook
from mmrs.engine.frozen_features import frozen_features
from mmrs.errors import ConfigError, DataError
from mmrs.ops.wilson import wilson_interval
from tests.engine.tiny_pretraining import (
    Views,
    lines_of,
    make_runner,
    pack_with_draws,
    scenes,
    write_scenes,
)


class TwoNames(SceneFoldersDataset):
    """Three classes, of which two have names."""

    @property
    def metainfo(self) -> dict:
        names = super().metainfo["classes"]
        return {"classes": names[:2] if self._fully_initialized else names}


def scalars_of(runner) -> list[dict]:
    text = Path(runner.log_dir, "vis_data", "scalars.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_training_is_the_same_to_the_last_bit(tmp_path):
    dataset = scenes(write_scenes(tmp_path / "set"), pipeline=[pack_with_draws])
    hooks = [
        {"type": "mmrs.KNNHook", "dataset": dataset, "interval": 2},
        {"type": "mmrs.LinearProbeHook", "dataset": dataset, "interval": 3, "num_folds": 2},
    ]
    states = []
    for name, some in (("with", hooks), ("without", [])):
        runner = make_runner(tmp_path / name, some)
        runner.train()
        states.append(runner.model.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert "knn after 6 steps" in lines_of_folder(tmp_path / "with")
    assert "linear_probe after 3 steps" in lines_of_folder(tmp_path / "with")


def lines_of_folder(work_dir: Path) -> str:
    (log,) = work_dir.glob("*/*.log")
    return log.read_text("utf-8")


def test_scores_are_logged_with_interval_at_their_steps(tmp_path):
    dataset = scenes(write_scenes(tmp_path / "set", noise=150))
    hook = KNNHook(dataset=dataset, interval=4, k=3, confidence=0.8)
    runner = make_runner(tmp_path / "w", [hook])
    runner.train()
    found = [line for line in scalars_of(runner) if "knn" in line]
    # before the first step, at the interval, and the last weights
    assert [line["step"] for line in found] == [0, 4, 6]
    assert all(set(line) == {"knn", "knn_low", "knn_high", "step"} for line in found)
    hub = runner.message_hub
    assert hub.get_scalar("val/knn").data[0].tolist() == [line["knn"] for line in found]

    features, labels = frozen_features(runner.model, hook.loader)
    correct = int((hook.told(features, labels, 3) == labels).sum())
    low, high = wilson_interval(correct, 12, confidence=0.8)
    last = found[-1]
    expected = [100 * correct / 12, 100 * low, 100 * high]
    assert [last["knn"], last["knn_low"], last["knn_high"]] == pytest.approx(expected)
    assert (
        f"knn after 6 steps: {last['knn']:.1f} % of 12 pictures (80 % interval "
        f"{last['knn_low']:.1f} to {last['knn_high']:.1f}); 3 classes, the largest has 33.3 %"
    ) in lines_of(runner)
    # and the logger's own lines are as they are without
    trained = [line for line in scalars_of(runner) if "loss" in line]
    assert [line["step"] for line in trained] == [2, 4, 6]
    assert not any("knn" in line for line in trained)


def test_the_start_can_be_left_out_and_a_last_step_is_not_measured_twice(tmp_path):
    dataset = scenes(write_scenes(tmp_path / "set"))
    hook = KNNHook(dataset=dataset, interval=3, at_start=False, batch_size=5)
    runner = make_runner(tmp_path / "w", [hook])
    runner.train()
    assert [line["step"] for line in scalars_of(runner) if "knn" in line] == [3, 6]
    assert hook.loader.batch_size == 5


def test_pictures_can_be_read_by_other_processes(tmp_path):
    dataset = scenes(write_scenes(tmp_path / "set"))
    hook = KNNHook(dataset=dataset, interval=9, num_workers=1)
    runner = make_runner(tmp_path / "w", [hook], steps=1)
    runner.train()
    assert hook.loader.num_workers == 1
    assert [line["step"] for line in scalars_of(runner) if "knn" in line] == [0, 1]


def test_features_that_are_not_finite_are_told_and_end_no_run(tmp_path):
    hook = KNNHook(dataset=scenes(write_scenes(tmp_path / "set")))
    runner = make_runner(tmp_path / "w", [hook], steps=1)
    runner.model.extract_feat = lambda images: images.mean(dim=(2, 3)) * torch.inf
    runner.train()
    assert "knn after 1 steps: not measured, features are not finite" in lines_of(runner)


def test_a_label_without_a_name_is_refused_before_the_first_step(tmp_path):
    found = scenes(write_scenes(tmp_path))
    hook = KNNHook(dataset={**found, "type": TwoNames})
    with pytest.raises(DataError, match=r"gt_label 2, but classes names 2. Fix: name all classes"):
        hook.before_train(SimpleNamespace(iter=1))


def test_sets_that_tell_nothing_are_refused_before_the_first_step(tmp_path):
    write_scenes(tmp_path, each=1)
    with pytest.raises(DataError, match="a single picture of 'field' in 3 pictures"):
        KNNHook(dataset=scenes(tmp_path))._open()
    write_scenes(tmp_path / "more", each=2)
    one = scenes(tmp_path / "more", classes=["town"])
    with pytest.raises(DataError, match="1 class in 2 pictures"):
        KNNHook(dataset=one)._open()
    with pytest.raises(ConfigError, match=r"KNNHook\.dataset: Views names no classes"):
        KNNHook(dataset={"type": Views})._open()


@pytest.mark.parametrize(
    ("hook", "options", "message"),
    [
        (KNNHook, {"interval": 0}, "KNNHook.interval: must be >= 1, got 0"),
        (KNNHook, {"batch_size": 0}, "KNNHook.batch_size: must be >= 1, got 0"),
        (KNNHook, {"num_workers": -1}, "KNNHook.num_workers: must be >= 0, got -1"),
        (KNNHook, {"confidence": 1}, r"KNNHook.confidence: must be in \(0, 1\), got 1"),
        (KNNHook, {"k": 0}, "KNNHook.k: must be >= 1, got 0"),
        (KNNHook, {"temperature": 0}, "KNNHook.temperature: must be > 0, got 0"),
        (LinearProbeHook, {"num_folds": 1}, "LinearProbeHook.num_folds: must be >= 2, got 1"),
        (LinearProbeHook, {"l2": 0}, "LinearProbeHook.l2: must be > 0, got 0"),
        (LinearProbeHook, {"max_steps": 0}, "LinearProbeHook.max_steps: must be >= 1, got 0"),
        (LinearProbeHook, {"seed": -1}, "LinearProbeHook.seed: must be >= 0, got -1"),
    ],
)
def test_options_out_of_range_are_told(hook, options, message):
    with pytest.raises(ConfigError, match=message):
        hook(dataset={}, **options)
