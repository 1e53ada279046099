"""The Runner that mmrs' tools use: any Runner, with the machine and the data looked after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.registry import RUNNERS, VISUALIZERS
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmrs.apis.channels.channel_check import watch_files
from mmrs.apis.config.build_errors import explain_build_error
from mmrs.apis.config.config_types import config_name, resolve
from mmrs.apis.guarded_pipeline import guard_dataset
from mmrs.apis.weights.checkpoint_fit import CheckpointFitHook
from mmrs.engine.same_buffers_hook import SameBuffersHook
from mmrs.errors import ConfigError, EnvironmentError, MmrsError, OutputError

Phase = Literal["train", "resume", "test"]


class CheckedRunnerMixin:
    """Put before any Runner class: CPU processes, guarded data, safe normalisation."""

    cfg: Config
    phase: Phase

    def setup_env(self, env_cfg: dict) -> None:
        """Join the other processes; on a machine without CUDA by gloo."""
        if self.distributed and not torch.cuda.is_available():  # type: ignore[attr-defined]
            env_cfg = join_cpu_processes(self.launcher, env_cfg)  # type: ignore[attr-defined]
        super().setup_env(env_cfg)  # type: ignore[misc]

    def build_model(self, model: Any) -> nn.Module:
        """Build the model; what its constructors refuse is told with its config key."""
        try:
            return super().build_model(model)  # type: ignore[misc]
        except Exception as error:
            raise explain_build_error(error, self.cfg, "model") from error

    def register_hook(self, hook: Any, *args: Any, **kwargs: Any) -> None:
        """Register a hook; checkpoints are saved first and deleted after that."""
        if isinstance(hook, dict) and hook.get("type") == "CheckpointHook":
            hook = {**hook, "type": "mmrs.SavedFirstHook"}
        super().register_hook(hook, *args, **kwargs)  # type: ignore[misc]

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap for several processes; convert what cannot run on this machine."""
        distributed = self.distributed  # type: ignore[attr-defined]
        cuda = torch.cuda.is_available()
        if not is_model_wrapper(model):
            model = make_normalisation_safe(
                model,
                synchronised=distributed and cuda,
                batch_size=None if self.phase == "test" else _batch_size(self.cfg),
            )
            if distributed and not cuda:
                # MMEngine passes the local rank as device id, which CPU processes must not have
                model_wrapper_cfg = dict(model_wrapper_cfg or _default_wrapper(self.cfg))
                model_wrapper_cfg["device_ids"] = None
        return super().wrap_model(model_wrapper_cfg, model)  # type: ignore[misc]

    def build_dataloader(self, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
        """Build a data loader whose samples are checked and whose errors name the file."""
        try:
            loader = super().build_dataloader(dataloader, *args, **kwargs)  # type: ignore[misc]
        except Exception as error:
            raise explain_build_error(error, self.cfg, _loader_key(self.cfg, dataloader)) from error
        guard_dataset(loader.dataset)
        watch_files(loader.dataset)
        return loader


def build_runner(cfg: Config, phase: Phase) -> Runner:
    """Build the Runner of a checked config.

    Args:
        cfg: A whole config with ``work_dir`` and ``launcher`` set.
        phase: What it will do; decides what a checkpoint must fit.

    Raises:
        MmrsError: Something in the config cannot be built, or the machine cannot run it.
    """
    base = Runner
    if cfg.get("runner_type"):
        base = RUNNERS.get(cfg.runner_type)
    runner_class = type(f"Checked{base.__name__}", (CheckedRunnerMixin, base), {"phase": phase})
    make_work_dir(cfg.work_dir)
    _name_visualizer(cfg)
    try:
        runner = runner_class.from_cfg(cfg)
    except MmrsError:
        raise
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise explain_build_error(error, cfg, "") from error
    runner.register_hook(CheckpointFitHook(phase=phase), priority="LOWEST")
    if runner.distributed:
        runner.register_hook(SameBuffersHook())
    return runner


def _name_visualizer(cfg: Config) -> None:
    """Give a second run in one process a visualiser of its own, in place.

    MMEngine hands out the one that has the name already, with the folder of the run before.
    """
    visualizer = cfg.get("visualizer")
    if not isinstance(visualizer, Mapping):
        return
    target = resolve(str(visualizer.get("type", "Visualizer")), VISUALIZERS)
    name, count = visualizer.get("name", "visualizer"), 1
    while target is not None and target.check_instance_created(visualizer.get("name", "")):
        count += 1
        visualizer["name"] = f"{name}-{count}"


def make_work_dir(folder: str | Path) -> None:
    """Make the folder of a run.

    Raises:
        OutputError: It cannot be made or written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make it ({error.strerror})", where=folder, fix="choose another --work-dir"
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError("no permission to write", where=folder, fix="choose another --work-dir")


def check_launcher(launcher: str) -> None:
    """Raise where a process was not started by the launcher that it names.

    Raises:
        EnvironmentError: Variables of ``torchrun`` are missing, or CPU processes were asked of
            another launcher.
    """
    if launcher == "none":
        return
    if launcher == "pytorch" and not {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys():
        raise EnvironmentError(
            "this process was not started by torchrun",
            where="--launcher pytorch",
            fix="torchrun --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch, or "
            "tools/dist_train.sh CONFIG 2",
        )
    if launcher != "pytorch" and not torch.cuda.is_available():
        raise EnvironmentError(
            "there is no CUDA device, and processes on CPUs are joined by torchrun only",
            where=f"--launcher {launcher}",
            fix="use torchrun and --launcher pytorch",
        )


def is_first_process() -> bool:
    """Whether this process looks at the data for all; before they are joined."""
    return int(os.environ.get("RANK", "0")) == 0


def join_cpu_processes(launcher: str, env_cfg: dict) -> dict:
    """Join processes by gloo; MMEngine's own way asks for a CUDA device first.

    Returns:
        ``env_cfg`` with the backend that is used.
    """
    dist_cfg = dict(env_cfg.get("dist_cfg") or {})
    if dist_cfg.get("backend", "gloo") != "gloo":
        print_log(f"no CUDA device: backend gloo instead of {dist_cfg['backend']}", "current")
    dist_cfg["backend"] = "gloo"
    check_launcher(launcher)
    if not torch.distributed.is_initialized():
        timeout = dist_cfg.get("timeout")
        torch.distributed.init_process_group(
            backend="gloo", timeout=None if timeout is None else timedelta(seconds=timeout)
        )
    return {**env_cfg, "dist_cfg": dist_cfg}


def make_normalisation_safe(
    model: nn.Module, *, synchronised: bool, batch_size: int | None
) -> nn.Module:
    """Convert normalisation that cannot run as configured, with one notice for each kind.

    SyncBatchNorm becomes BatchNorm where there is no group of GPUs to synchronise. A BatchNorm
    that meets a single value a channel while training (a batch of one after global pooling)
    uses its running statistics for that batch, where PyTorch would stop the run.

    Args:
        model: The model, before it is wrapped.
        synchronised: Whether there are several processes on GPUs.
        batch_size: Samples a process and step; None: nothing is trained, or it is not known.
    """
    synced = sum(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
    if synced and not synchronised:
        model = revert_sync_batchnorm(model)
        print_log(
            f"{synced} SyncBN layers run as BN: there is no group of GPUs to synchronise", "current"
        )
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for module in norms:
        module.register_forward_pre_hook(_use_running_statistics)
        module.register_forward_hook(_train_again)
    if batch_size == 1 and norms and not (synced and synchronised):
        print_log(
            f"batch size 1 with {len(norms)} BatchNorm layers: their statistics come from single "
            "images; a batch of 2 or more, or norm_cfg=dict(type='GN', num_groups=...), is better",
            "current",
        )
    return model


def _use_running_statistics(module: nn.Module, args: tuple) -> None:
    values = args[0]
    if module.training and module.track_running_stats and values.numel() == values.shape[1]:
        if not getattr(module, "told_single_value", False):
            print_log(
                "a BatchNorm layer met one value a channel (batch of 1 after pooling): it uses "
                "its running statistics there",
                "current",
            )
        module.told_single_value = True
        module.one_value = True
        module.training = False


def _train_again(module: nn.Module, args: tuple, output: Any) -> None:
    if getattr(module, "one_value", False):
        module.one_value = False
        module.training = True


def _default_wrapper(cfg: Config) -> dict:
    return {
        "type": "MMDistributedDataParallel",
        "find_unused_parameters": cfg.get("find_unused_parameters", False),
    }


def _batch_size(cfg: Config) -> int | None:
    loader = cfg.get("train_dataloader")
    return loader.get("batch_size") if isinstance(loader, Mapping) else None


def _loader_key(cfg: Config, dataloader: Any) -> str:
    for split in ("train", "val", "test"):
        if cfg.get(f"{split}_dataloader") == dataloader:
            return f"{split}_dataloader"
    return "dataloader"


def use_amp(cfg: Config) -> None:
    """Switch a config to mixed precision, in place.

    Raises:
        ConfigError: Its optimiser wrapper cannot, or there is no device for it.
    """
    name, wrapper = config_name(cfg), cfg.optim_wrapper
    kind = wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ConfigError(
            f"--amp cannot be used with {kind}",
            where=f"{name}: optim_wrapper.type",
            fix="use OptimWrapper, or leave --amp out",
        )
    if not torch.cuda.is_available():
        raise EnvironmentError(
            "mixed precision needs a CUDA device, and there is none",
            where="--amp",
            fix="leave --amp out on this machine",
        )
    wrapper["type"] = "AmpOptimWrapper"
    wrapper.setdefault("loss_scale", "dynamic")
