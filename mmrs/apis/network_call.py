"""How a segmentor's network is run: in half precision, compiled, or as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mmrs.errors import ConfigError, EnvironmentError

Amp = Literal["bf16", "fp16"]

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NetworkCall:
    """Runs ``model.encode_decode``.

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
        self._full: dict[tuple[int, ...], int] = {}  # largest batch so far, by size of a window

    def __call__(self, inputs: Tensor, metas: list[dict[str, Any]]) -> Tensor:
        """Normalised batch (N, bands, h, w) -> logits (N, K, h, w) in single precision.

        Raises:
            EnvironmentError: If the network cannot be compiled here.
        """
        with self._autocast(inputs.device):
            logits = self._compiled(inputs, metas) if self._compile else self._run(inputs, metas)
        return logits.float()

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
