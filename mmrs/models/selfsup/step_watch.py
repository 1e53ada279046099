"""Whether an optimiser changed a model since one last asked."""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook


class StepWatch:
    """Notes steps of any optimiser that holds a parameter of a module.

    The count that PyTorch keeps of changes of a tensor does not serve: fused optimisers pass it
    over. Steps that a loss scaler leaves out are none, also where a fused optimiser, which it calls
    all the same, does the leaving out.

    Args:
        module: The module; it is not kept alive.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = weakref.ref(module)
        self.stepped = False
        handle = register_optimizer_step_post_hook(self._note)
        weakref.finalize(module, handle.remove)

    def take(self) -> bool:
        """Whether there was a step since the last call."""
        stepped, self.stepped = self.stepped, False
        return stepped

    def _note(self, optimiser: Optimizer, args: tuple, kwargs: dict) -> None:
        module = self.module()
        if module is None:
            return
        ours = {id(parameter) for parameter in module.parameters()}
        groups = optimiser.param_groups
        if any(id(p) in ours for group in groups for p in group["params"]):
            # torch.amp.GradScaler lets fused optimisers leave out a step themselves
            left_out = bool(getattr(optimiser, "found_inf", None))
            self.stepped |= not left_out

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """Nothing: a copy of the module is another module."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()
