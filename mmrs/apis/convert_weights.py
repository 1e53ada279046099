"""Weights of a checkpoint as those of a backbone: taken out, renamed, compared, written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from torch import Tensor

from mmrs.apis.channels.channel_check import contract_in
from mmrs.apis.weights.weight_keys import Kind, SourceWeights, state_of, take_backbone
from mmrs.apis.weights.weight_report import check_fitted, report_lines
from mmrs.apis.weights.weight_target import (
    Fitted,
    TargetBackbone,
    build_target,
    fit_to_target,
    other_channels,
)
from mmrs.compat import safe_load_checkpoint
from mmrs.errors import CheckpointError, ConfigError, OutputError
from mmrs.geo.atomic import atomic_paths, make_folder
from mmrs.geo.disk_space import write_error
from mmrs.version import __version__
from mmrs.weight_file import SUFFIX, load_safetensors, safetensors_bytes, tensors_sha256


@dataclass(frozen=True)
class ConvertedWeights:
    """What was written.

    Attributes:
        weights: The safetensors.
        description: The JSON beside it.
        facts: What the JSON says.
    """

    weights: Path
    description: Path
    facts: Mapping[str, Any]


def convert_weights(
    checkpoint: str | Path,
    out: str | Path,
    *,
    source: Kind | Literal["auto"] = "auto",
    backbone_config: str | Path | Config | None = None,
    backbone_type: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    bands: int | None = None,
    source_bands: Sequence[int | None] | None = None,
    prefix: str | None = None,
    partial: bool = False,
    tell: Callable[[str], None] = print,
) -> ConvertedWeights:
    """Write the backbone of a checkpoint as safetensors, which an ``init_cfg`` takes.

    Args:
        checkpoint: Of `mmrs.MoCoV2` (its query encoder is taken), of a segmentor, stock weights of
            a ResNet (torchvision, timm) or HRNet (MMSegmentation), or a bare backbone's.
        out: The file to write, ``.safetensors``; a JSON of the same name stands beside it.
        source: What the checkpoint is; ``auto`` tells it by the names of its tensors.
        backbone_config: Config whose ``model.backbone`` they are for.
        backbone_type: The backbone's registered name, in place of a config.
        cfg_options: Keys of the config, or arguments of the type, to override.
        bands: Of the images, where others than the config's; the first convolution is inflated.
        source_bands: For each of these bands the filter of the checkpoint that is its own, from 0,
            or None; by default the first ones are known.
        prefix: Where the backbone's names begin in the checkpoint.
        partial: Write what fits, where some tensors are missing or of another shape.
        tell: Gets the lines of the report, also where the conversion is then refused.

    Returns:
        The files and what is known of them.

    Raises:
        CheckpointError: The checkpoint is missing, damaged, unsafe, foreign, or does not fit.
        ConfigError: The backbone cannot be built, or options contradict each other.
        OutputError: The files cannot be written; what was there before is untouched.
    """
    checkpoint, out = Path(checkpoint).expanduser(), Path(out).expanduser()
    description = _check_out(out, checkpoint)
    target = _target(backbone_config, backbone_type, cfg_options, bands, source_bands)
    content = safe_load_checkpoint(checkpoint)
    known = {} if target is None else target.module.state_dict()
    weights = take_backbone(
        state_of(content, checkpoint), kind=source, prefix=prefix, known=known, where=checkpoint
    )
    _check_numbers(weights.tensors, known, checkpoint)
    fitted = None
    if target is not None:
        fitted = fit_to_target(weights.tensors, target, source_bands=source_bands)
    facts = _facts(checkpoint, content, weights, target, fitted)
    for line in report_lines(
        weights, target, fitted, where=checkpoint, after=facts["iteration"],
        channels=facts.get("other_channels", ()),
    ):  # fmt: skip
        tell(line)
    if target is not None and fitted is not None:
        check_fitted(fitted, weights, target, checkpoint, partial=partial)
    tensors = weights.tensors if fitted is None else fitted.tensors
    facts |= _file_facts(tensors)
    _publish(out, description, tensors, facts)
    tell(f"{out}: {len(tensors)} tensors, {facts['num_parameters']:,} numbers; {description.name}")
    return ConvertedWeights(out, description, facts)


def _check_out(out: Path, checkpoint: Path) -> Path:
    """The JSON's path, where both may be written."""
    if out.suffix != SUFFIX:
        raise OutputError(
            f"must end in {SUFFIX}, ends in {out.suffix or 'nothing'}",
            where=out,
            fix=f"write {out.with_suffix(SUFFIX).name}",
        )
    description = out.with_suffix(".json")
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise OutputError("is the checkpoint itself", where=out, fix="choose another name")
    if description.exists() and not _is_ours(description):
        raise OutputError(
            "exists, and is no description that this tool wrote",
            where=description,
            fix="choose another name for the weights, whose description has the same name",
        )
    make_folder(out)
    return description


def _is_ours(description: Path) -> bool:
    try:
        return "tensors_sha256" in json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _target(
    config: str | Path | Config | None,
    type: str | None,
    cfg_options: Mapping[str, Any] | None,
    bands: int | None,
    source_bands: Sequence[int | None] | None,
) -> TargetBackbone | None:
    if bands is not None and bands < 1:
        raise ConfigError(f"must be at least 1, got {bands}", where="--bands", fix="count them")
    if config is None and type is None:
        needy = {"--bands": bands, "--source-bands": source_bands, "--cfg-options": cfg_options}
        for option, value in needy.items():
            if value:
                raise ConfigError(
                    "only a backbone says which convolution reads the image and what its options "
                    "mean",
                    where=option,
                    fix="add --backbone-config CONFIG or --type mmrs.HiResNet",
                )
        return None
    return build_target(config, type=type, bands=bands, cfg_options=cfg_options)


def _check_numbers(tensors: Mapping[str, Tensor], ours: Mapping[str, Tensor], where: Path) -> None:
    for name, value in tensors.items():
        kind = _special_kind(value)
        if kind is None and name in ours and ours[name].is_floating_point():
            kind = None if value.is_floating_point() else str(value.dtype).removeprefix("torch.")
        if kind is not None:
            raise CheckpointError(
                f"{name} is {kind}; expected plain tensors of floats",
                where=where,
                fix="name the checkpoint that this one was made from",
            )
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise CheckpointError(
                f"{name} holds numbers that are not finite: its training had diverged",
                where=where,
                fix="take an earlier checkpoint",
            )


def _special_kind(value: Tensor) -> str | None:
    """What a tensor is that holds no numbers of its own, or holds them otherwise."""
    if value.is_meta:
        return "without numbers (on the meta device)"
    if value.is_quantized:
        return "quantized"
    return None if value.layout == torch.strided else "sparse"


def _facts(
    checkpoint: Path,
    content: Any,
    weights: SourceWeights,
    target: TargetBackbone | None,
    fitted: Fitted | None,
) -> dict[str, Any]:
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    contract = contract_in({"meta": meta}, where=str(checkpoint))
    facts: dict[str, Any] = {
        "mmrs": __version__,
        "source": {"file": checkpoint.name, "sha256": _sha256(checkpoint)},
        "kind": weights.kind,
        "iteration": _number(meta.get("iter")),
        "epoch": _number(meta.get("epoch")),
        "channel_contract": None if contract is None else contract.to_meta(),
        "backbone": None,
        "first_conv": None,
    }
    if target is None or fitted is None:
        return facts
    conv = fitted.first_conv
    return facts | {
        "backbone": {"type": target.type, "config": target.config, "bands": target.bands},
        "first_conv": None if conv is None else asdict(conv),
        "matched": fitted.fit.matching,
        "missing": [*fitted.fit.missing],
        "unexpected": [*fitted.fit.unexpected],
        "other_shape": {k: [[*a], [*b]] for k, (a, b) in fitted.fit.mismatched.items()},
        "starts_afresh": [*fitted.left_out],
        "other_channels": [[*pair] for pair in other_channels(target, contract)],
    }


def _file_facts(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "num_tensors": len(tensors),
        "num_parameters": sum(value.numel() for value in tensors.values()),
        "tensors_sha256": tensors_sha256(tensors),
    }


def _publish(
    out: Path, description: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Both files or none, read back before they get their names."""
    content = safetensors_bytes(tensors)
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    with atomic_paths([out, description]) as (temporary, note):
        try:
            temporary.write_bytes(content)
            note.write_text(text, encoding="utf-8")
        except OSError as error:
            raise write_error(out, error, needed=len(content)) from error
        try:
            load_safetensors(temporary)
        except CheckpointError as error:
            # the system took the bytes and has others
            raise write_error(out, error.what, needed=len(content)) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
