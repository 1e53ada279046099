"""Weights against a backbone in words, and whether they are of one architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmrs.apis.weights.weight_keys import SourceWeights
from mmrs.apis.weights.weight_target import Fitted, TargetBackbone
from mmrs.errors import CheckpointError

_SHOWN = 8  # names in the printed report; the JSON has all
# what mmrs.IFWHRNet has beside HRNet's own
_BESIDE_HRNET = ".flow_warps."


def report_lines(
    weights: SourceWeights,
    target: TargetBackbone | None,
    fitted: Fitted | None,
    *,
    where: Path,
    after: int | None,
    channels: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """What a checkpoint holds, and how it compares with a backbone.

    Args:
        weights: What was taken from it.
        target: The backbone, where there is one.
        fitted: The comparison with it.
        where: The checkpoint's file.
        after: Its iterations, where it says so.
        channels: What differs between those that it was trained on and the config's: (then, now).
    """
    iterations = "" if after is None else f" after {after:,} iterations"
    lines = [
        f"{where}: {weights.kind}{iterations}, {len(weights.tensors)} tensors of the backbone; "
        f"{weights.passed_over} of other parts are passed over"
    ]
    if target is None or fitted is None:
        return [*lines, "compared with no backbone; --backbone-config CONFIG does"]
    fit = fitted.fit
    counters = sum(name.endswith("num_batches_tracked") for name in fitted.tensors)
    counted = f", and {counters} batch counters of BatchNorm" if counters else ""
    of = "" if target.config is None else f" of {target.config}"
    shapes = [f"{k} ({_shape(a)}, not {_shape(b)})" for k, (a, b) in fit.mismatched.items()]
    lines += [
        f"compared with {target.type}{of}:",
        f"  matched: {fit.matching}{counted}",
        f"  missing in the checkpoint: {_listed(fit.missing)}",
        f"  unexpected, not written: {_listed(fit.unexpected)}",
        f"  of another shape, not written: {_listed(shapes)}",
    ]
    if fitted.left_out:
        lines.append(f"  a number for each band, starts afresh: {_listed(fitted.left_out)}")
    if fitted.first_conv is not None and fitted.first_conv.told is not None:
        lines.append(f"  {fitted.first_conv.told}")
    lines += [f"  trained on {then}; {target.config} has {now}" for then, now in channels]
    return lines


def check_fitted(
    fitted: Fitted, weights: SourceWeights, target: TargetBackbone, where: Path, *, partial: bool
) -> None:
    """Raise where weights and backbone are not of one architecture.

    Args:
        fitted: The comparison.
        weights: What was taken from the checkpoint.
        target: The backbone.
        where: The checkpoint's file.
        partial: A part is enough.

    Raises:
        CheckpointError: Nothing fits; or, unless ``partial``, a tensor is missing, left over or of
            another shape. Stock HRNet may lack the flows of `mmrs.IFWHRNet`, and have whole stages
            that the backbone has not.
    """
    fit = fitted.fit
    missing, unexpected = _of_one_architecture(fitted, weights, target)
    if not fit.matching:
        raise CheckpointError(
            f"none of its {len(weights.tensors)} tensors ({weights.kind}) has the name and shape "
            f"of one of {target.type}",
            where=where,
            fix="name the backbone that these weights are of",
        )
    if partial:
        return
    if fit.mismatched:
        name, (theirs, ours) = next(iter(fit.mismatched.items()))
        told = f"{name} is {_shape(theirs)} in it and {_shape(ours)} in {target.type}"
        told += _and_more(len(fit.mismatched))
    elif missing:
        told = f"{target.type} has {missing[0]}, it has not{_and_more(len(missing))}"
    elif unexpected:
        told = f"it has {unexpected[0]}, {target.type} has not{_and_more(len(unexpected))}"
    else:
        return
    raise CheckpointError(
        f"it is of another architecture: {told}",
        where=where,
        fix="use the config that it was trained with, or --partial to take the "
        f"{fit.matching} tensors that fit",
    )


def _of_one_architecture(
    fitted: Fitted, weights: SourceWeights, target: TargetBackbone
) -> tuple[Sequence[str], Sequence[str]]:
    """What is missing and what is left over, less what networks that extend HRNet differ in."""
    missing, unexpected = fitted.fit.missing, fitted.fit.unexpected
    if weights.kind != "mmseg-hrnet":
        return missing, unexpected
    stages = {name.partition(".")[0] for name in target.module.state_dict()}
    return (
        [name for name in missing if _BESIDE_HRNET not in name],
        [name for name in unexpected if name.partition(".")[0] in stages],
    )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "a number"


def _and_more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "0"
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)}: {', '.join([*names][:_SHOWN])}{more}"
