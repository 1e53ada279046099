"""Training through the tool: its flags, checkpoints, normalisation, several processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmrs.apis.runtime import make_normalisation_safe
from mmrs.apis.test import test as evaluate
from mmrs.apis.train import train
from mmrs.errors import CheckpointError, ConfigError, EnvironmentError, OutputError
from tests.apis.tiny_run import CLASSES, ROOT, run_tool, tiny_config, write_config, write_pairs


def trained(data, **changes):
    """A checkpoint of two steps; returns (config, checkpoint)."""
    config = write_config(data, **changes)
    train(config, work_dir=data / "trained")
    return config, data / "trained" / "iter_2.pth"


def test_work_dir_holds_checkpoint_config_and_log(data, capsys):
    assert run_tool("train", write_config(data), "--work-dir", data / "work") == 0
    assert (data / "work" / "iter_2.pth").is_file()
    assert (data / "work" / "tiny.py").is_file()
    logs = list((data / "work").glob("*/*.log"))
    assert len(logs) == 1
    text = logs[0].read_text()
    # the table of label ids is in the log, before the first step
    assert text.index("labels of train_dataloader.dataset") < text.index("Iter(train)")
    assert re.search(r"mIoU: \d", text)


def test_the_configs_own_work_dir_is_used(data, monkeypatch):
    monkeypatch.chdir(data)
    train(write_config(data, work_dir=str(data / "own")))
    assert (data / "own" / "iter_2.pth").is_file()


def test_the_default_work_dir_has_the_configs_name(data, monkeypatch):
    monkeypatch.chdir(data)
    train(write_config(data))
    assert (data / "work_dirs" / "tiny" / "iter_2.pth").is_file()


def test_overrides_of_the_command_line_win(data):
    runner = train(write_config(data), work_dir=data / "w", cfg_options={"train_cfg.max_iters": 1})
    assert runner.iter == 1


def test_work_dir_that_is_a_file(data):
    (data / "taken").write_text("x")
    with pytest.raises(OutputError, match="taken: cannot make it"):
        train(write_config(data), work_dir=data / "taken")
    assert (data / "taken").read_text() == "x"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device for it")
def test_amp_without_a_device_is_told(data):
    with pytest.raises(EnvironmentError, match="--amp: mixed precision needs a CUDA device"):
        train(write_config(data), work_dir=data / "w", amp=True)


def test_auto_scale_lr_scales_with_the_batch(data):
    config = write_config(data, auto_scale_lr={"base_batch_size": 8, "enable": False})
    runner = train(config, work_dir=data / "w", auto_scale_lr=True)
    # 0.01 for a batch of 8; the batch is 2
    assert runner.optim_wrapper.get_lr()["lr"] == pytest.approx([0.01 * 2 / 8])


def test_auto_scale_lr_needs_its_base(data):
    with pytest.raises(ConfigError, match="auto_scale_lr: the config does not say"):
        train(write_config(data), work_dir=data / "w", auto_scale_lr=True)


# 31 resume --------------------------------------------------------------------------------------


def test_resume_goes_on_where_it_stopped(data, capsys):
    config, _ = trained(data)
    first = torch.load(data / "trained" / "iter_2.pth", weights_only=False)
    capsys.readouterr()
    options = ["--cfg-options", "train_cfg.max_iters=4", "default_hooks.checkpoint.interval=4"]
    assert run_tool("train", config, "--work-dir", data / "trained", "--resume", *options) == 0
    out = capsys.readouterr().out
    assert "Iter(train) [3/4]" in out and "Iter(train) [1/4]" not in out
    second = torch.load(data / "trained" / "iter_4.pth", weights_only=False)
    assert first["meta"]["iter"] == 2 and second["meta"]["iter"] == 4


def test_resume_of_another_model_is_refused(data):
    config, _ = trained(data)
    other = write_config(data, model__decode_head__channels=8)
    with pytest.raises(CheckpointError, match=r"in the checkpoint, .* in the model"):
        train(other, work_dir=data / "trained", resume=True)
    assert config


# 23 fine-tuning ---------------------------------------------------------------------------------


def test_fine_tuning_lists_what_starts_afresh(data, capsys):
    _, checkpoint = trained(data)
    config = tiny_config(data, load_from=str(checkpoint), model__decode_head__num_classes=4)
    for split in ("train", "val", "test"):
        config[f"{split}_dataloader"]["dataset"]["metainfo"] = {"classes": (*CLASSES, "car")}
    capsys.readouterr()
    runner = train(Config(config), work_dir=data / "w", cfg_options={"train_cfg.max_iters": 1})
    out = capsys.readouterr().out
    assert "2 tensors are re-initialised" in out
    assert "decode_head.conv_seg.weight: 3x4x1x1 in the checkpoint, 4x4x1x1 in the model" in out
    assert "decode_head.conv_seg.bias: 3 in the checkpoint, 4 in the model" in out
    # what fits was taken: one step of lr 0.01 moves it but little
    saved = torch.load(checkpoint, weights_only=False)["state_dict"]
    name = "backbone.encoder.0.0.convs.0.conv.weight"
    moved = (runner.model.state_dict()[name] - saved[name]).abs().max()
    assert moved < 0.05 < saved[name].abs().max()


def test_a_checkpoint_of_nothing_in_common_is_refused(data):
    path = data / "other.pth"
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, path)
    with pytest.raises(CheckpointError, match="none of its 1 tensors fits the model"):
        train(write_config(data, load_from=str(path)), work_dir=data / "w")


def test_a_missing_checkpoint_is_told_before_anything_else(data):
    config = write_config(data, load_from=str(data / "no.pth"))
    with pytest.raises(CheckpointError, match=r"no.pth: there is no such file"):
        train(config, work_dir=data / "w")
    assert not (data / "w").exists()


# 24 normalisation -------------------------------------------------------------------------------


def test_syncbn_runs_as_bn_with_one_notice(data, capsys):
    norm = {"type": "SyncBN"}
    config = write_config(data, model__backbone__norm_cfg=norm, model__decode_head__norm_cfg=norm)
    assert run_tool("train", config, "--work-dir", data / "w") == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"\d+ SyncBN layers run as BN", out)) == 1


def test_batch_of_one_gets_one_notice(data, capsys):
    config = write_config(data, train_dataloader__batch_size=1)
    assert run_tool("train", config, "--work-dir", data / "w") == 0
    assert capsys.readouterr().out.count("batch size 1 with") == 1


def test_one_value_a_channel_uses_running_statistics(capsys):
    norm = torch.nn.BatchNorm2d(3)
    norm.running_mean[:] = torch.tensor([1.0, 2.0, 3.0])
    norm.running_var[:] = 4.0
    alone = torch.full((1, 3, 1, 1), 5.0, requires_grad=True)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(alone)
    model = make_normalisation_safe(
        torch.nn.Sequential(norm), synchronised=False, batch_size=1
    ).train()
    # (5 - mean) / sqrt(4 + eps)
    expected = (5 - torch.tensor([1.0, 2.0, 3.0])) / (4 + norm.eps) ** 0.5
    for _ in range(2):
        torch.testing.assert_close(model(alone).flatten(), expected)
    model(alone).sum().backward()
    assert alone.grad.abs().min() > 0
    # and a batch that has statistics is normalised by them, as ever
    assert norm.training
    several = model(torch.arange(12.0).reshape(4, 3, 1, 1))
    torch.testing.assert_close(several.mean(0).flatten(), torch.zeros(3))
    assert capsys.readouterr().out.count("met one value a channel") == 1


# 43 NaN is never the best -----------------------------------------------------------------------


@pytest.mark.parametrize("order", [(float("nan"), 40.0, float("nan")), (40.0, float("nan"), 30.0)])
@pytest.mark.parametrize("rule", ["greater", "less"])
def test_nan_is_never_the_best(data, order, rule):
    values = iter(order)

    class Scripted(BaseMetric):
        default_prefix = ""

        def process(self, data_batch, data_samples):
            self.results.extend([0] * len(data_samples))

        def compute_metrics(self, results):
            return {"score": next(values)}

    METRICS.register_module(name="Scripted", module=Scripted, force=True)
    try:
        runner = train(
            write_config(
                data,
                val_evaluator={"type": "Scripted", "_scope_": "mmengine"},
                train_cfg={"type": "IterBasedTrainLoop", "max_iters": 3, "val_interval": 1},
                default_hooks__checkpoint={
                    "type": "CheckpointHook",
                    "by_epoch": False,
                    "interval": 3,
                    "save_best": "score",
                    "rule": rule,
                },
            ),
            work_dir=data / "w",
        )
    finally:
        METRICS.module_dict.pop("Scripted")
    valid = [v for v in order if v == v]
    best = max(valid) if rule == "greater" else min(valid)
    step = order.index(best) + 1
    assert runner.message_hub.get_info("best_score") == best
    assert [p.name for p in (data / "w").glob("best_*")] == [f"best_score_iter_{step}.pth"]


# 46 several processes ---------------------------------------------------------------------------


def test_launcher_without_torchrun_is_told(data):
    with pytest.raises(EnvironmentError, match=r"not started by torchrun. Fix: torchrun --nproc"):
        train(write_config(data), work_dir=data / "w", launcher="pytorch")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the processes would need a GPU each")
def test_two_processes_train_and_evaluate_as_one(data):
    # 5 images over 2 processes: 3 each, one of them twice
    write_pairs(data, "val", 5, seed=3)
    config = write_config(data, val_evaluator__score_names=["mIoU", "OA"])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    tool = [str(ROOT / "tools" / "train.py"), config, "--launcher", "pytorch"]
    done = subprocess.run(
        [*command, *tool, "--work-dir", str(data / "two")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[:3000]
    log = next((data / "two").glob("*/*.log")).read_text()
    assert "GPU number: 2" in log or "Distributed launcher: pytorch" in log
    scores = re.search(r"mIoU: ([\d.]+)  OA: ([\d.]+)", log)
    one = evaluate(
        config, data / "two" / "iter_2.pth", work_dir=data / "one", metrics=["mIoU", "OA"]
    )
    # the log has four decimals
    assert [float(v) for v in scores.groups()] == pytest.approx([one["mIoU"], one["OA"]], abs=1e-4)
