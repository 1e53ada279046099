"""Which tensors of a checkpoint are a backbone's, and how MMSegmentation names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from mmrs.errors import CheckpointError, ConfigError

Kind = Literal["mocov2", "segmentor", "torchvision", "timm", "mmseg-hrnet", "backbone"]
KINDS: tuple[str, ...] = get_args(Kind)
# of stock weights; what is not among them and not in the backbone either is told
_HEADS = ("fc.", "classifier.", "head.", "incre_modules.", "downsamp_modules.", "final_layer.")
_EXPECTED = (
    "expected the names of a mmrs.MoCoV2 checkpoint or a segmentor (backbone.*), of a ResNet "
    "(conv1, bn1, layer1 to layer4) or of a HRNet (stage2, stage3)"
)


@dataclass(frozen=True)
class SourceWeights:
    """A backbone's tensors, taken out of a checkpoint.

    Attributes:
        kind: What the checkpoint is.
        tensors: By the backbone's own names.
        passed_over: How many tensors belong to other parts (key encoder, queue, heads).
    """

    kind: Kind
    tensors: Mapping[str, Tensor]
    passed_over: int


def state_of(content: Any, where: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without a leading ``module.``.

    Raises:
        CheckpointError: It holds none, or one that cannot be a weight.
    """
    state = content
    for key in ("state_dict", "model_state_dict", "model_state", "model"):
        inner = content.get(key) if isinstance(content, Mapping) else None
        if isinstance(inner, Mapping):
            state = inner
            break
    tensors = {
        str(key).removeprefix("module."): value
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f"it holds no weights (found {_what(content)}); {_EXPECTED}",
            where=where,
            fix="name a checkpoint that training saved, or a state_dict",
        )
    return tensors


def take_backbone(
    tensors: Mapping[str, Tensor],
    *,
    kind: Kind | Literal["auto"] = "auto",
    prefix: str | None = None,
    known: Iterable[str] = (),
    where: str | Path,
) -> SourceWeights:
    """Pick a backbone's tensors out of a checkpoint's, under the names that MMSegmentation uses.

    Args:
        tensors: Of the checkpoint, by name.
        kind: What the checkpoint is; ``auto`` tells it by the names.
        prefix: Where the backbone's names begin, in place of the kind's own place.
        known: Names of the backbone that they are for; they tell a bare backbone, and Hi-ResNet.
        where: The checkpoint's file.

    Raises:
        CheckpointError: There is no backbone, or the checkpoint is of another kind.
        ConfigError: The prefix is the momentum encoder's.
    """
    known = set(known)
    if prefix is not None:
        tensors = _under(tensors, prefix, where)
    found = _kind_of(tensors, known)
    if kind == "auto":
        # who names the place says that it is there
        kind = found or ("backbone" if prefix else _no_backbone(tensors, known, where))
    elif not _may_be(kind, found, prefix):
        raise CheckpointError(
            f"it is no {kind} checkpoint: {_told(found, tensors)}",
            where=where,
            fix=f"name its kind, --from {found}, or leave --from out"
            if found
            else f"name a {kind} checkpoint, or the place of the backbone by --prefix",
        )
    own = tensors
    if prefix is None and kind in ("mocov2", "segmentor"):
        start = next(s for s in ("backbone.", "encoder_q.") if _any(tensors, s))
        own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    own = {k: v for k, v in own.items() if k in known or not k.startswith(_HEADS)}
    rename = _renaming(own, known)
    return SourceWeights(kind, {rename(k): v for k, v in own.items()}, len(tensors) - len(own))


def _under(tensors: Mapping[str, Tensor], prefix: str, where: str | Path) -> dict[str, Tensor]:
    start = prefix.rstrip(".") + "."
    if start.startswith("encoder_k."):
        raise ConfigError(
            "encoder_k is the momentum encoder, which only follows the one that is trained",
            where=f"--prefix {prefix}",
            fix="leave --prefix out: the query encoder is taken",
        )
    own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    if not own:
        raise CheckpointError(
            f"none of its {len(tensors)} tensors is under {start!r}; {_listed(tensors)}",
            where=where,
            fix="name another --prefix, or leave it out",
        )
    return own


def _kind_of(tensors: Mapping[str, Tensor], known: set[str]) -> Kind | None:
    """What the names say; None where they say nothing."""
    if _any(tensors, "backbone.") or _any(tensors, "encoder_q."):
        return "mocov2" if _any(tensors, "encoder_k.") or "queue" in tensors else "segmentor"
    if _any(tensors, "stage2.") and _any(tensors, "transition1."):
        return "mmseg-hrnet"
    if _any(tensors, "layer1.0.conv1.") and _any(tensors, "layer2.0.conv1."):
        if "conv1.0.weight" in tensors:
            return "timm"
        if "conv1.weight" in tensors:
            return "torchvision"
    return "backbone" if known & set(tensors) else None


def _may_be(kind: str, found: str | None, prefix: str | None) -> bool:
    # timm and torchvision name plain ResNets alike; of bare names one may say what they are
    alike = {"timm": {"torchvision"}, "backbone": {"torchvision", "timm", "mmseg-hrnet"}}
    named = prefix is not None and kind in ("mocov2", "segmentor")
    if found is None:  # a bare one of names that nobody knows, or that are compared later
        return kind == "backbone"
    return kind == found or found in alike.get(kind, ()) or named


def _no_backbone(tensors: Mapping[str, Tensor], known: set[str], where: str | Path) -> Kind:
    bare = "" if known else ", or a backbone that is told by its names (--backbone-config)"
    raise CheckpointError(
        f"it holds no backbone: {_listed(tensors)}; {_EXPECTED}{bare}",
        where=where,
        fix="name another checkpoint, or the place of its backbone by --prefix",
    )


def _renaming(tensors: Mapping[str, Tensor], known: set[str]) -> Callable[[str], str]:
    if _any(tensors, "stage2.") and any(name.startswith("layer1.0.fusion.") for name in known):
        return hrnet_to_hiresnet
    if "conv1.0.weight" in tensors:
        return deep_stem_name
    return str


def deep_stem_name(name: str) -> str:
    """MMSegmentation's name in ResNetV1c and V1d of a tensor of timm's ResNet-C and -D.

    Three convolutions with their norms make the stem: 0, 1, 3, 4, 6 of ``conv1``, then ``bn1``.
    """
    name = re.sub(r"^conv1\.(\d+)\.", r"stem.\1.", name)
    return re.sub(r"^bn1\.", "stem.7.", name)


_HRNET = [
    (r"^(conv|bn)([12])\.", lambda m: f"stem.{int(m[2]) - 1}.{0 if m[1] == 'conv' else 1}."),
    (r"^layer1\.", lambda m: "funnel."),
    # a new branch stands in one more Sequential there
    (r"^transition1\.1\.0\.", lambda m: "transition1.1."),
    (r"^transition2\.2\.0\.", lambda m: "transition2."),
    (r"^stage([23])\.", lambda m: f"layer{int(m[1]) - 1}."),
]


def hrnet_to_hiresnet(name: str) -> str:
    """Name in `mmrs.HiResNet` of a tensor of HRNet; for ``stem='hrnet', block='basic'``.

    Stage 4 has no counterpart, and keeps its names.
    """
    for pattern, new in _HRNET:
        found, count = re.subn(pattern, new, name)
        if count:
            name = found
            break
    if name.startswith("layer"):
        # fuse_layers.<to>.<from>
        name = re.sub(r"\.fuse_layers\.(\d)\.(\d)\.", r".fusion.paths.\2_to_\1.", name)
    return name


def _any(tensors: Iterable[str], start: str) -> bool:
    return any(name.startswith(start) for name in tensors)


def _told(found: str | None, tensors: Mapping[str, Tensor]) -> str:
    return f"its names are those of {found}" if found else _listed(tensors)


def _listed(tensors: Mapping[str, Tensor]) -> str:
    """``its 12 tensors are named fc.*, head.*``."""
    groups = dict.fromkeys(n.partition(".")[0] + (".*" if "." in n else "") for n in tensors)
    named = ", ".join([*groups][:6]) + (", ..." if len(groups) > 6 else "")
    return f"its {len(tensors)} tensors are named {named[:200]}"


def _what(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a dict of {', '.join(str(key)[:40] for key in [*content][:6]) or 'nothing'}"
    return f"a {type(content).__name__}"
