"""Does a checkpoint belong to the model?  Asked before its tensors are copied into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from mmrs.apis.channels.channel_check import (
    check_checkpoint,
    contract_in,
    run_contract,
    source_bands,
)
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.errors import CheckpointError
from mmrs.models.layers.first_conv import inflate_state_dict


@dataclass(frozen=True)
class CheckpointFit:
    """How the tensors of a checkpoint compare with a model's.

    Attributes:
        mismatched: Name -> (shape in the checkpoint, shape in the model).
        missing: In the model, not in the checkpoint.
        unexpected: In the checkpoint, not in the model.
        matching: Number of tensors that fit.
    """

    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    missing: Sequence[str]
    unexpected: Sequence[str]
    matching: int


def compare(model: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor]) -> CheckpointFit:
    """Compare two state dicts by name and shape; BatchNorm's batch counters do not count."""
    theirs = {k: v for k, v in checkpoint.items() if not k.endswith("num_batches_tracked")}
    ours = {k: v for k, v in model.items() if not k.endswith("num_batches_tracked")}
    both = [name for name in ours if name in theirs]
    mismatched = {
        name: (tuple(theirs[name].shape), tuple(ours[name].shape))
        for name in both
        if theirs[name].shape != ours[name].shape
    }
    return CheckpointFit(
        mismatched=mismatched,
        missing=[name for name in ours if name not in theirs],
        unexpected=[name for name in theirs if name not in ours],
        matching=len(both) - len(mismatched),
    )


def check_fit(
    fit: CheckpointFit, *, where: str, classes: Sequence[str] = (), trained_on: Sequence[str] = ()
) -> None:
    """Raise where a model would run with other weights than the checkpoint's.

    Args:
        fit: The comparison.
        where: The checkpoint.
        classes: Of the data set at hand.
        trained_on: That the checkpoint says it knows.

    Raises:
        CheckpointError: A tensor is missing, or has another shape; or the classes are the same
            in another order.
    """
    if fit.mismatched:
        name, (theirs, ours) = next(iter(fit.mismatched.items()))
        more = f" (and {len(fit.mismatched) - 1} more)" if len(fit.mismatched) > 1 else ""
        told = f"{name} is {_shape(theirs)} in the checkpoint, {_shape(ours)} in the model{more}"
        fix = "use the config that it was trained with"
        if trained_on and classes and len(trained_on) != len(classes):
            told += f"; it knows {len(trained_on)} classes, the config has {len(classes)}"
            fix += f", or set num_classes={len(trained_on)} and its classes"
        raise CheckpointError(told, where=where, fix=fix)
    if fit.missing:
        raise CheckpointError(
            f"{len(fit.missing)} tensors of the model are not in it, such as {fit.missing[0]}",
            where=where,
            fix="use the config that it was trained with",
        )
    if set(trained_on) == set(classes) and list(trained_on) != list(classes):
        raise CheckpointError(
            f"it was trained with the classes in another order ({', '.join(trained_on)})",
            where=where,
            fix=f"name the classes in that order, instead of {', '.join(classes)}",
        )


class CheckpointFitHook(Hook):
    """Checks what MMEngine would pass over with a warning.

    Args:
        phase: ``test`` and ``resume`` need every tensor; ``train`` starts from those that fit,
            and lists the others.
    """

    def __init__(self, *, phase: Literal["train", "resume", "test"]) -> None:
        self.phase = phase

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare, before MMEngine copies.

        Raises:
            CheckpointError: The checkpoint is of another model.
        """
        where = str(getattr(runner, "_load_from", None) or runner.work_dir)
        if not isinstance(checkpoint, Mapping):
            raise CheckpointError(
                f"it holds a {type(checkpoint).__name__}, no state dict",
                where=where,
                fix="use a checkpoint that training saved",
            )
        if self.phase == "resume" and not {"meta", "message_hub"} <= checkpoint.keys():
            raise CheckpointError(
                "it holds weights alone, and not where a run stopped",
                where=where,
                fix="leave --resume out to start from its weights",
            )
        state = _tensors(checkpoint)
        fit = compare(bare_model(runner.model).state_dict(), state)
        if not fit.matching:
            raise CheckpointError(
                f"none of its {len(state)} tensors fits the model",
                where=where,
                fix="use a checkpoint of this model; a backbone's alone goes to "
                "model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...)",
            )
        trained, now = contract_in(checkpoint, where=where), _contract(runner, self.phase)
        check_checkpoint(trained, now, where=where, refuse=self.phase != "train")
        if self.phase == "train":
            state = checkpoint.get("state_dict", checkpoint)
            bands = source_bands(now, trained)
            for line in inflate_state_dict(state, bare_model(runner.model), source_bands=bands):
                print_log(f"{where}: {line}", "current")
            fit = compare(bare_model(runner.model).state_dict(), _tensors(checkpoint))
            _drop_mismatched(checkpoint, fit, where)
            return
        meta = checkpoint.get("meta") or {}
        trained_on = (meta.get("dataset_meta") or {}).get("classes") or ()
        check_fit(fit, where=where, classes=_classes(runner, self.phase), trained_on=trained_on)
        if fit.unexpected:
            print_log(
                f"{len(fit.unexpected)} tensors of {where} are not in the model and not used, such "
                f"as {fit.unexpected[0]}",
                "current",
            )


def bare_model(model: nn.Module) -> nn.Module:
    """Return the segmentor inside wrappers for processes and for test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _drop_mismatched(checkpoint: dict, fit: CheckpointFit, where: str) -> None:
    """Fine-tuning: take what fits, and say what starts afresh."""
    state = checkpoint.get("state_dict", checkpoint)
    for name in list(state):
        if str(name).removeprefix("module.") in fit.mismatched:
            del state[name]
    lines = [
        f"  {name}: {_shape(theirs)} in the checkpoint, {_shape(ours)} in the model"
        for name, (theirs, ours) in fit.mismatched.items()
    ]
    lines += [f"  {name}: not in the checkpoint" for name in fit.missing]
    if lines:
        print_log(
            f"{len(lines)} tensors are re-initialised, {fit.matching} come from {where}:\n"
            + "\n".join(lines),
            "current",
        )


def _classes(runner: Any, phase: str) -> Sequence[str]:
    loop = runner.test_loop if phase == "test" else runner.train_loop
    dataset = getattr(getattr(loop, "dataloader", None), "dataset", None)
    return (getattr(dataset, "metainfo", None) or {}).get("classes") or ()


def _contract(runner: Any, phase: str) -> ChannelContract | None:
    loop = runner.test_loop if phase == "test" else runner.train_loop
    dataset = getattr(getattr(loop, "dataloader", None), "dataset", None)
    if dataset is None:
        return None
    return run_contract(runner.cfg, "test" if phase == "test" else "train", dataset)


def _tensors(checkpoint: Mapping) -> dict[str, Tensor]:
    state = checkpoint.get("state_dict", checkpoint)
    return {str(k).removeprefix("module."): v for k, v in state.items() if _is_tensor(v)}


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
