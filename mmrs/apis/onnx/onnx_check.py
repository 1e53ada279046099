"""Whether two window models give the same probabilities, told in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.window.window_protocol import Size, WindowModel
from mmrs.errors import ConfigError, MmrsError, OutputError

TOLERANCE = 1e-4  # in probability: no class then changes that led by more than 2e-4

Kind = Literal["noise", "fields"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Progress = Callable[[int, int], None]  # inputs done, inputs in all
_BATCHES = (1, 3, 2)
_CELL_PX = 11  # of a field
_OTHER_WAYS = "try the other --exporter or another --opset"


@dataclass(frozen=True)
class Difference:
    """Of two models at one input.

    Attributes:
        size: (rows, columns).
        batch: Number of windows.
        kind: Of the input.
        largest: In probability; infinite where one is not finite or has another shape.
        changed: Number of pixels of another class.
        pixels: Number of pixels.
    """

    size: Size
    batch: int
    kind: Kind
    largest: float
    changed: int
    pixels: int

    def told(self) -> str:
        """All of it, in words."""
        rows, cols = self.size
        return (
            f"{self.largest:.3g} in probability at {rows} x {cols} px, batch {self.batch}, "
            f"{self.kind}: {self.changed} of {self.pixels} pixels of another class"
        )


def default_check_sizes(window: Size) -> tuple[Size, ...]:
    """The window itself, and small sizes that no stride divides, down to some pixels."""
    return window, (61, 97), (130, 72), (5, 33)


def check_equal(
    expected: WindowModel,
    found: WindowModel,
    *,
    sizes: Sequence[Size],
    where: str | Path,
    progress: Progress | None = None,
) -> tuple[Difference, ...]:
    """Compare two models on noise and on smooth fields, in batches of 1, 2 and 3.

    Args:
        expected: PyTorch's.
        found: The exported one.
        sizes: (rows, columns) of the inputs.
        where: The file to name.
        progress: Called after every input.

    Returns:
        The differences, each within `TOLERANCE`.

    Raises:
        OutputError: One is larger, with the worst in numbers.
        ConfigError: There are no sizes, or one is below 1.
    """
    if not sizes or min(min(size) for size in sizes) < 1:
        raise ConfigError(
            f"sizes to check must be >= 1 px, got {[tuple(size) for size in sizes]}",
            where="--check-sizes",
            fix="name sizes such as 256x256 61x97",
        )
    rng = np.random.default_rng(0)
    differences = []
    for index, size in enumerate(sizes):
        batch = _BATCHES[index % len(_BATCHES)]
        for kind in KINDS:
            pixels = sample_pixels(expected.contract, batch, size, kind, rng)
            differences.append(_compare(expected, found, pixels, kind, where))
            if progress is not None:
                progress(len(differences), len(sizes) * len(KINDS))
    worst = max(differences, key=lambda difference: difference.largest)
    if worst.largest > TOLERANCE:
        raise OutputError(
            f"not written: ONNX Runtime differs from PyTorch by {worst.told()}; {TOLERANCE:g} is "
            "allowed",
            where=where,
            fix=_OTHER_WAYS,
        )
    return tuple(differences)


def sample_pixels(
    contract: ChannelContract, count: int, size: Size, kind: Kind, rng: np.random.Generator
) -> NDArray[Any]:
    """Windows such as the model may meet, of its bands, its type and the range of its values.

    Args:
        contract: Of the model.
        count: Of windows.
        size: (rows, columns).
        kind: ``noise``, every value by itself, or ``fields``: patches with a little noise.
        rng: Source of the numbers.

    Returns:
        (count, rows, columns, bands).
    """
    rows, cols = size
    bands = contract.bands or len(contract.file_bands or (1,))
    if kind == "noise":
        values = rng.random((count, rows, cols, bands))
    else:
        coarse = rng.random((count, -(-rows // _CELL_PX), -(-cols // _CELL_PX), bands))
        values = coarse.repeat(_CELL_PX, axis=1).repeat(_CELL_PX, axis=2)[:, :rows, :cols]
        values = 0.9 * values + 0.1 * rng.random(values.shape)
    low, high = _value_range(contract)
    pixels = low + values * (high - low)
    if contract.dtype is None:
        return pixels.astype(np.float32)
    dtype = np.dtype(contract.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        pixels = np.clip(np.rint(pixels), limits.min, limits.max)
    return pixels.astype(dtype)


def _value_range(contract: ChannelContract) -> tuple[NDArray[Any], NDArray[Any]]:
    """Usual values of each band, in the order of the file."""
    if contract.scaling is not None:
        low, span = np.asarray(contract.scaling.offset), np.asarray(contract.scaling.divisor)
        # a mean and a deviation, or the two ends
        return (low - 2 * span if contract.scaling.kind == "meanstd" else low), low + 2 * span
    if contract.dtype == "uint8" or not contract.mean:
        return np.array(0.0), np.array(255.0 if contract.dtype == "uint8" else 1.0)
    mean, std = np.asarray(contract.mean), np.asarray(contract.std)
    if contract.order != ("reversed" if contract.swaps else "file"):
        mean, std = mean[::-1], std[::-1]  # they are in the network's order
    return mean - 2 * std, mean + 2 * std


def _compare(
    expected: WindowModel, found: WindowModel, pixels: NDArray[Any], kind: Kind, where: str | Path
) -> Difference:
    count, rows, cols, _ = pixels.shape
    ours = _run(expected, pixels, where, "PyTorch", "name sizes that it takes by --check-sizes")
    theirs = _run(found, pixels, where, "ONNX Runtime", _OTHER_WAYS)
    num_pixels = count * rows * cols
    if ours.shape != theirs.shape:
        return Difference((rows, cols), count, kind, np.inf, num_pixels, num_pixels)
    distance = np.abs(ours - theirs)
    largest = float(distance.max()) if np.isfinite(distance).all() else np.inf
    changed = int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    return Difference((rows, cols), count, kind, largest, changed, num_pixels)


def _run(
    model: WindowModel, pixels: NDArray[Any], where: str | Path, name: str, fix: str
) -> NDArray[Any]:
    count, rows, cols, _ = pixels.shape
    try:
        return np.asarray(model(pixels))
    except Exception as error:  # whatever it is, the file is not published
        told = error.what if isinstance(error, MmrsError) else f"{type(error).__name__}: {error}"
        raise OutputError(
            f"not written: {name} fails at {rows} x {cols} px, batch {count} ({told})",
            where=where,
            fix=fix,
        ) from error
