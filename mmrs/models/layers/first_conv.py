"""The convolutions that read the image, and weights for them that were learnt on other bands."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmrs.ops.inflate import inflate_first_conv

Tell = Callable[[str], None]


def first_convs(module: nn.Module) -> dict[str, nn.Conv2d]:
    """Name -> convolution of those that take the image's bands.

    The first convolution of the backbone (of the module, where it has none) and every other one
    that takes as many channels; none where the first is depthwise, because that is not widened by
    its input channels alone.
    """
    backbone = getattr(module, "backbone", module)
    prefix = "" if backbone is module else "backbone."
    convs = [(n, m) for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d)]
    if not convs or convs[0][1].groups != 1:
        return {}
    bands = convs[0][1].in_channels
    return {
        prefix + name: conv
        for name, conv in convs
        if conv.in_channels == bands and conv.groups == 1
    }


def inflate_state_dict(
    state: MutableMapping[str, Any],
    module: nn.Module,
    *,
    source_bands: Sequence[int | None] | None = None,
) -> list[str]:
    """Give weights of the first convolutions that differ in bands only the model's, in place.

    Args:
        state: Tensors by name; a leading ``module.`` is passed over.
        module: The model that they are for.
        source_bands: As in :func:`~mmrs.ops.inflate.inflate_first_conv`.

    Returns:
        One line for each tensor that was inflated.
    """
    names = {name.removeprefix("module."): name for name in state}
    told = []
    for name, conv in first_convs(module).items():
        key = names.get(f"{name}.weight")
        if key is None:
            continue
        inflated = _inflated(state[key], conv, source_bands)
        if inflated is not None:
            told.append(_line(f"{name}.weight", state[key], conv, source_bands))
            state[key] = inflated
    return told


def inflate_on_load(
    module: nn.Module, *, tell: Tell, source_bands: Sequence[int | None] | None = None
) -> int:
    """From now on, weights of other bands are inflated as they are loaded, whoever loads them.

    For ``init_cfg=dict(type='Pretrained', ...)``, which MMEngine and the backbones load each in
    their own way.

    Args:
        module: The model.
        tell: Gets one line for each tensor.
        source_bands: As in :func:`~mmrs.ops.inflate.inflate_first_conv`.

    Returns:
        Of how many convolutions.
    """
    convs = first_convs(module)
    for name, conv in convs.items():
        hook = _Inflate(f"{name}.weight", tell, source_bands)
        conv.register_load_state_dict_pre_hook(hook)  # type: ignore[no-untyped-call]
    return len(convs)


class _Inflate:
    """A hook that can be copied with the model, as a moving average does."""

    def __init__(self, name: str, tell: Tell, source_bands: Sequence[int | None] | None) -> None:
        self.name, self.tell, self.source_bands = name, tell, source_bands

    def __call__(self, conv: nn.Conv2d, state: dict[str, Any], prefix: str, *_: Any) -> None:
        key = f"{prefix}weight"
        weight = state.get(key)
        if not isinstance(weight, Tensor):
            return
        inflated = _inflated(weight, conv, self.source_bands)
        if inflated is not None:
            self.tell(_line(self.name, weight, conv, self.source_bands))
            state[key] = inflated


def _inflated(
    weight: Tensor, conv: nn.Conv2d, source_bands: Sequence[int | None] | None
) -> Tensor | None:
    """The weights for the bands of ``conv``; None where they differ in more than that, or not."""
    own = conv.weight.shape
    if weight.ndim != 4 or weight.shape[1] in (0, own[1]):
        return None
    if weight.shape[0] != own[0] or weight.shape[2:] != own[2:]:
        return None
    return inflate_first_conv(weight, own[1], source_bands=_usable(weight, conv, source_bands))


def _usable(
    weight: Tensor, conv: nn.Conv2d, source_bands: Sequence[int | None] | None
) -> Sequence[int | None] | None:
    named = [band for band in source_bands or () if band is not None]
    if source_bands is None or len(source_bands) != conv.in_channels:
        return None
    return None if any(band >= weight.shape[1] for band in named) else source_bands


def _line(
    name: str, weight: Tensor, conv: nn.Conv2d, source_bands: Sequence[int | None] | None
) -> str:
    known, bands = weight.shape[1], conv.in_channels
    named = _usable(weight, conv, source_bands)
    rule = "known bands keep theirs, further ones get the mean"
    if named is not None:
        order = " ".join("none" if band is None else str(band) for band in named)
        rule = f"known bands keep theirs ({order}), further ones get the mean"
    elif bands < known:
        rule = "nothing says which of them, so each gets the mean"
    return (
        f"{name}: weights of {known} bands are inflated to {bands}: {rule}, all times "
        f"{known}/{bands}"
    )
