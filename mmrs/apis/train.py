"""Training: a config file in, checkpoints and a log out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmrs.apis.channels.channel_check import run_contract, source_bands
from mmrs.apis.checks.data_check import check_data
from mmrs.apis.checks.label_table import LabelTable
from mmrs.apis.checks.visit_check import check_visits
from mmrs.apis.cli import error_line
from mmrs.apis.config.build_errors import explain_build_error
from mmrs.apis.config.config_check import check_config
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name
from mmrs.apis.resume_point import find_resume_point
from mmrs.apis.runtime import build_runner, check_launcher, is_first_process, use_amp
from mmrs.apis.weights.checkpoint_fit import bare_model
from mmrs.compat import refuse_unsafe_checkpoints
from mmrs.engine.channel_contract_hook import ChannelContractHook
from mmrs.engine.queue_length_hook import QueueLengthHook
from mmrs.errors import CheckpointError, ConfigError, MmrsError
from mmrs.models.layers.first_conv import inflate_on_load
from mmrs.pretrained import look_after_pretrained_weights


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    check_seconds: float = 10.0,
) -> Runner:
    """Train the model of a config; everything that can be told wrong is told before step 1.

    Args:
        config: A config file, or a config.
        work_dir: Where logs and checkpoints go; by default the config's, else
            ``work_dirs/<name of the config>``.
        resume: Go on from the latest checkpoint in ``work_dir``; from ``load_from``, where that is
            among ``cfg_options`` or in ``work_dir`` itself, or where ``work_dir`` has none.
        amp: Mixed precision.
        auto_scale_lr: Scale the learning rate with the batch, as ``auto_scale_lr`` in the
            config says.
        cfg_options: Dotted key -> value, merged into the config.
        launcher: ``none``, or what started this process: ``pytorch``, ``slurm``, ``mpi``.
        check_seconds: How long to look at the data beforehand.

    Returns:
        The Runner, after its last step.

    Raises:
        MmrsError: One line with the file or key, the cause and the mend.
    """
    refuse_unsafe_checkpoints()
    look_after_pretrained_weights()
    cfg = load_config(config, cfg_options=cfg_options)
    cfg.launcher = launcher
    cfg.resume = resume or cfg.get("resume", False)
    set_work_dir(cfg, work_dir)
    check_launcher(launcher)
    check_config(cfg, "train")
    if amp:
        use_amp(cfg)
    if auto_scale_lr:
        _enable_auto_scale_lr(cfg)
    check_load_from(cfg)
    start = _resume_point(cfg, cfg_options or {}) if cfg.resume else cfg.get("load_from")
    tables: Sequence[LabelTable] = []
    if is_first_process():
        splits = ("train", "val") if cfg.get("val_dataloader") else ("train",)
        tables = check_data(cfg, splits, seconds=check_seconds)
    try:
        runner = build_runner(cfg, "resume" if cfg.resume else "train")
        # not by the config: its copy in the work dir would lead back here at the next resume
        runner._load_from, runner._resume = start, cfg.resume and start is not None
        for table in tables:
            print_log(table.text(), "current")
        _build_training(runner, cfg)
        check_visits(runner.train_dataloader)
        _agree_on_channels(runner, cfg)
        runner.register_hook(QueueLengthHook())
        runner.train()
    except MmrsError as error:
        raise unwrap(error) from error
    return runner


def _resume_point(cfg: Config, cfg_options: Mapping[str, Any]) -> str | None:
    """What a run goes on from; None where it begins."""
    given = cfg.get("load_from")
    if given and ("load_from" in cfg_options or _is_in(str(given), cfg.work_dir)):
        return str(given)
    found = find_resume_point(cfg.work_dir)
    if found is None:
        return given
    if given:
        print_log(f"going on from {found}; load_from, {given}, is where the run began", "current")
    return str(found)


def _is_in(path: str, folder: str) -> bool:
    return Path(path).expanduser().resolve().parent == Path(folder).resolve()


def _agree_on_channels(runner: Runner, cfg: Config) -> None:
    """Config and data agree; checkpoints will say on what; weights of other bands are inflated."""
    contract = run_contract(cfg, "train", getattr(runner.train_dataloader, "dataset", None))
    if contract is not None:
        runner.register_hook(ChannelContractHook(contract=contract.to_meta()))
    inflate_on_load(
        bare_model(runner.model),
        tell=partial(print_log, logger="current"),
        source_bands=source_bands(contract),
    )


def set_work_dir(cfg: Config, work_dir: str | Path | None) -> None:
    """Command line before config before the config's name, in place."""
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", Path(config_name(cfg)).stem)


def check_load_from(cfg: Config) -> None:
    """Raise at once where the checkpoint to start from is not there.

    Raises:
        CheckpointError: ``load_from`` is a path, and no file.
    """
    path = cfg.get("load_from")
    if path and "://" not in str(path) and not Path(str(path)).expanduser().is_file():
        raise CheckpointError("there is no such file", where=path, fix="check the path")


def unwrap(error: MmrsError) -> MmrsError:
    """Return an error as it was raised, without the traceback that a data loader's worker adds."""
    line = error_line(error)
    if line == str(error):
        return error
    return type(error)(line)


def _enable_auto_scale_lr(cfg: Config) -> None:
    settings = cfg.get("auto_scale_lr")
    if not isinstance(settings, Mapping) or "base_batch_size" not in settings:
        raise ConfigError(
            "the config does not say for which batch its learning rate is",
            where=f"{config_name(cfg)}: auto_scale_lr",
            fix="set auto_scale_lr=dict(base_batch_size=16), or leave --auto-scale-lr out",
        )
    settings["enable"] = True


def _build_training(runner: Runner, cfg: Config) -> None:
    """Build what ``runner.train`` would, so that its errors are told apart from those of a step."""
    # a property that builds the loop
    try:
        _ = runner.train_loop
    except MmrsError:
        raise
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise explain_build_error(error, cfg, "train_cfg") from error
    try:
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise explain_build_error(error, cfg, "optim_wrapper") from error
