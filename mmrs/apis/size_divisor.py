"""What the sides of a model's windows must be multiples of, found by trying."""

from __future__ import annotations

import numpy as np

from mmrs.apis.window_protocol import WindowModel
from mmrs.errors import ConfigError

DIVISORS = (1, 2, 4, 8, 16, 32, 64)


def find_size_divisor(model: WindowModel) -> int:
    """The smallest power of two that a model's windows must be multiples of.

    A U-Net, say, takes no sides that cannot be halved as often as it pools; most models take any.

    Args:
        model: Called with windows of zeros, of some pixels to some hundred.

    Returns:
        1, 2, 4, ..., 64.

    Raises:
        ConfigError: It takes none of the sizes tried.
    """
    bands = model.contract.bands or 3
    dtype = np.dtype(model.contract.dtype or "float32")
    told = ""
    for divisor in DIVISORS:
        # odd multiples, so that a larger divisor shows; 67 and 101 have none
        rows, cols = (67, 101) if divisor == 1 else (3 * divisor, 5 * divisor)
        try:
            model(np.zeros((1, rows, cols, bands), dtype))
        except Exception as error:  # whatever a model raises, it does not take the size
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        else:
            return divisor
    raise ConfigError(
        f"the model takes windows of no size tried, the last {rows} x {cols} px ({told})",
        where="model",
        fix="set model.data_preprocessor.test_cfg.size_divisor, or mend the model",
    )
