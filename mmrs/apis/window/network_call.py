"""How a segmentor's network is run: in half precision, compiled, padded, or as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from mmrs.errors import ConfigError, EnvironmentError, MmrsError

Amp = Literal["bf16", "fp16"]

# what sides must be multiples of in networks that halve them and put the halves together again
_DIVISORS = (2, 4, 8, 16, 32, 64)
_REFUSALS = (AssertionError, RuntimeError, ValueError)  # what networks raise at sizes
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NetworkCall:
    """Runs ``model.encode_decode``.

    A network that takes no windows of some size (a U-Net, of a scene smaller than a window) gets
    them padded as its data preprocessor pads, below and to the right, to the next size that it
    takes.

    Args:
        model: An MMSegmentation segmentor.
        amp: Compute in half precision where autocast finds it safe, or None.
        compile: Compile the network, once for each size of its input.

    Raises:
        ConfigError: If ``amp`` is something else.
    """

    def __init__(self, model: Any, *, amp: Amp | None = None, compile: bool = False) -> None:
        if amp is not None and amp not in get_args(Amp):
            raise ConfigError(f"amp must be one of {', '.join(get_args(Amp))}, got {amp!r}")
        self._amp = amp
        self._compile = compile
        self._run = model.encode_decode
        if compile:
            self._run = torch.compile(model.encode_decode, dynamic=False)
        # by size of a window alone: what came before must not change an answer
        self._divisors: dict[tuple[int, int], int] = {}
        preprocessor = getattr(model, "data_preprocessor", None)
        self._pad_value = float(getattr(preprocessor, "pad_val", 0))
        self._full: dict[tuple[int, ...], int] = {}  # largest batch so far, by size of a window

    def __call__(self, inputs: Tensor, metas: list[dict[str, Any]]) -> Tensor:
        """Normalised batch (N, bands, h, w) -> logits (N, K, h, w) in single precision.

        Raises:
            EnvironmentError: If the network cannot be compiled here.
            MmrsError: If it fails on windows of this size, padded or not.
        """
        count, _, height, width = inputs.shape
        with self._autocast(inputs.device):
            try:
                logits = self._padded(inputs, metas, self.divisor_of(height, width))
            except torch.OutOfMemoryError:
                raise
            except _REFUSALS as error:
                divisor = self._find_divisor(inputs, metas)
                if divisor is None:
                    told = (str(error).strip() or "no reason given").splitlines()[0][:200]
                    raise MmrsError(
                        f"the network fails on {count} windows of {height} x {width} px "
                        f"({type(error).__name__}: {told})",
                        fix="choose another --window where the size is the reason (some networks "
                        "take that of their training alone); --debug shows all",
                    ) from error
                logits = self._padded(inputs, metas, divisor)
                self._divisors[height, width] = divisor
        return logits.float()

    def divisor_of(self, height: int, width: int) -> int:
        """To multiples of what windows of a size are padded: 1, or a power of two."""
        return self._divisors.get((height, width), 1)

    def _padded(self, inputs: Tensor, metas: list[dict[str, Any]], divisor: int) -> Tensor:
        height, width = inputs.shape[-2:]
        below, right = -height % divisor, -width % divisor
        if below or right:
            inputs = functional.pad(inputs, (0, right, 0, below), value=self._pad_value)
            # heads bring their logits to this size
            metas = [{**meta, "pad_shape": tuple(inputs.shape[-2:])} for meta in metas]
        logits = self._compiled(inputs, metas) if self._compile else self._run(inputs, metas)
        return logits[..., :height, :width]

    def _find_divisor(self, inputs: Tensor, metas: list[dict[str, Any]]) -> int | None:
        """The smallest padding with which the network takes a window that it refused."""
        sides = inputs.shape[-2:]
        for divisor in _DIVISORS:
            if not any(side % divisor for side in sides):
                continue  # that is what was refused
            try:
                self._padded(inputs[:1], metas[:1], divisor)
            except _REFUSALS:
                continue
            return divisor
        return None

    def _autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        if self._amp is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=_TYPES[self._amp])

    def _compiled(self, inputs: Tensor, metas: list[dict[str, Any]]) -> Tensor:
        # for another size of the batch it would be compiled anew, which takes longer than the
        # windows that fill the batch up
        count, *shape = inputs.shape
        full = self._full[tuple(shape)] = max(count, self._full.get(tuple(shape), 0))
        if count < full:
            inputs = torch.cat([inputs, inputs[-1:].expand(full - count, *shape)])
            # each its own: one of them twice would be another program
            metas = metas + [dict(metas[-1]) for _ in range(full - count)]
        try:
            logits: Tensor = self._run(inputs, metas)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise EnvironmentError(
                f"the network cannot be compiled: {str(error).strip().splitlines()[0]}",
                where="--compile",
                fix="leave it out; on a CPU it needs a C++ compiler",
            ) from error
        return logits[:count]
