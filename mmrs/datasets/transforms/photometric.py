"""Changes of light: brightness, contrast, gamma, noise, colour, on bands of any type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from numpy.typing import NDArray

from mmrs.errors import ConfigError, DataError
from mmrs.registry import TRANSFORMS

Range = tuple[float, float]
Bands = Literal["joint", "each"]


@TRANSFORMS.register_module()
class PhotometricDistortion(BaseTransform):
    """Vary the light of an image of any number of bands and any type, within its own range.

    MMSegmentation's ``PhotoMetricDistortion`` is for three bands of 8 bits: it makes bytes of what
    it gets, and everything above 255 becomes 255. Here values are brought to 0 .. 1 by
    ``value_range``, changed, cut at its ends (nothing wraps around), and brought back to the
    image's own type; integers are rounded. In this order, each with probability ``prob``:
    brightness x + d, contrast m + (x - m) c about the middle m of the range, gamma x^g, hue
    and saturation of the red, green and blue bands, and noise x + n, n normal.

    Pixels that do not count stay as they are: those that the label ignores, or that
    ``ignored_mask`` marks.

    Args:
        brightness: Largest d, as a part of the range.
        contrast: Range of c; (1, 1) is none.
        gamma: Range of g; (1, 1) is none.
        noise: Largest deviation of the noise, as a part of the range.
        hue: Largest turn of the hue in degrees; needs ``rgb_bands``.
        saturation: Range of the factor of the saturation; needs ``rgb_bands``.
        bands: ``joint`` draws one d, c, g for all bands, ``each`` for each band its own. Noise is
            always drawn for each value.
        rgb_bands: Which of the image's bands are red, green and blue, counted from 0.
            MMSegmentation's loading gives (2, 1, 0).
        value_range: The values that become 0 and 1: two numbers, or two for each band. By default
            the type's whole range; floats need it.
        prob: Of each of the changes.
        ignore_index: Label of pixels that stay as they are; None changes them too.
        ignored_mask: Key of a mask (H, W), true where a pixel stays as it is, instead of the label.

    Raises:
        ConfigError: An option is out of range, or floats come without ``value_range``.
        DataError: The image lacks a band that ``rgb_bands`` or ``value_range`` names.
    """

    def __init__(
        self,
        *,
        brightness: float = 0.125,
        contrast: Range = (0.75, 1.25),
        gamma: Range = (1.0, 1.0),
        noise: float = 0.0,
        hue: float = 0.0,
        saturation: Range = (1.0, 1.0),
        bands: Bands = "joint",
        rgb_bands: Sequence[int] | None = None,
        value_range: Sequence[Any] | None = None,
        prob: float = 0.5,
        ignore_index: int | None = 255,
        ignored_mask: str | None = None,
    ) -> None:
        super().__init__()
        _check_number("brightness", brightness, 0, 1)
        _check_number("noise", noise, 0, 1)
        _check_number("hue", hue, 0, 180)
        _check_number("prob", prob, 0, 1)
        for key, pair in (("contrast", contrast), ("gamma", gamma), ("saturation", saturation)):
            _check_pair(key, pair, above_0=key == "gamma")
        if bands not in ("joint", "each"):
            raise _wrong("bands", bands, "joint or each")
        if rgb_bands is not None and (len(set(rgb_bands)) != 3 or min(rgb_bands) < 0):
            raise _wrong("rgb_bands", rgb_bands, "three different numbers from 0 on")
        if rgb_bands is None and (hue or tuple(saturation) != (1, 1)):
            raise ConfigError(
                "hue and saturation mean nothing without red, green and blue",
                where="PhotometricDistortion.rgb_bands",
                fix="say which bands they are, such as (2, 1, 0) after LoadImageFromFile",
            )
        self.brightness, self.noise, self.hue = brightness, noise, hue
        self.contrast, self.gamma, self.saturation = contrast, gamma, saturation
        self.bands = bands
        self.rgb_bands = None if rgb_bands is None else list(rgb_bands)
        self.value_range = value_range
        if value_range is not None:
            self._limits(value_range)
        self.prob = prob
        self.ignore_index = ignore_index
        self.ignored_mask = ignored_mask

    def transform(self, results: dict) -> dict:
        """Change ``results['img']`` (H, W) or (H, W, bands); its type and shape stay."""
        image = results["img"]
        stacked = image[..., None] if image.ndim == 2 else image
        low, high = self._range_of(stacked, results.get("img_path"))
        span = high - low
        changes = self._draw(stacked.shape)
        if not changes:
            return results
        # float32 holds 16 bits exactly, not 32
        wide = np.issubdtype(image.dtype, np.integer) and image.dtype.itemsize > 2
        values = stacked.astype(np.float64 if wide else np.float32)
        values = (values - low) / span  # (H, W, bands), 0 .. 1
        for change in changes:
            values = np.clip(change(values), 0.0, 1.0)
        values = values * span + low
        if np.issubdtype(image.dtype, np.integer):
            limits = np.iinfo(image.dtype)
            values = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
        changed = values.astype(image.dtype)
        stays = self._stays(results, stacked)
        if stays is not None:
            changed = np.where(stays[..., None], stacked, changed)
        results["img"] = np.ascontiguousarray(changed.reshape(image.shape))
        return results

    def _draw(self, shape: tuple[int, ...]) -> list[Callable[[NDArray], NDArray]]:
        """Draw what is to be done, from NumPy's global generator as MMCV's transforms do."""
        count = shape[-1] if self.bands == "each" else 1
        changes: list[Callable[[NDArray], NDArray]] = []
        if self.brightness and self._chosen():
            shift = _uniform(-self.brightness, self.brightness, count)
            changes.append(lambda x: x + shift)
        if tuple(self.contrast) != (1, 1) and self._chosen():
            factor = _uniform(*self.contrast, count)
            changes.append(lambda x: (x - 0.5) * factor + 0.5)
        if tuple(self.gamma) != (1, 1) and self._chosen():
            exponent = _uniform(*self.gamma, count)
            changes.append(lambda x: np.clip(x, 0, 1) ** exponent)
        if self.rgb_bands is not None and (self.hue or tuple(self.saturation) != (1, 1)):
            if self._chosen():
                turn = float(_uniform(-self.hue, self.hue, 1)[0])
                more = float(_uniform(*self.saturation, 1)[0])
                changes.append(lambda x: _change_colour(x, self.rgb_bands, turn, more))
        if self.noise and self._chosen():
            deviation = np.random.uniform(0, self.noise)
            drawn = np.random.normal(0, deviation, shape).astype(np.float32)
            changes.append(lambda x: x + drawn)
        return changes

    def _chosen(self) -> bool:
        return bool(np.random.random() < self.prob)

    def _range_of(self, image: NDArray, path: str | None) -> tuple[NDArray, NDArray]:
        """Lowest and highest value of each band, (bands,) float32."""
        count = image.shape[-1]
        if self.value_range is not None:
            low, high = self._limits(self.value_range)
            if len(low) not in (1, count) or max(self.rgb_bands or [0]) >= count:
                raise DataError(
                    f"{count} bands found, value_range is for {len(low)} and rgb_bands are "
                    f"{self.rgb_bands}",
                    where=path,
                    fix="mend value_range or rgb_bands of mmrs.PhotometricDistortion",
                )
            return low, high
        if max(self.rgb_bands or [0]) >= count:
            raise DataError(
                f"{count} bands found, rgb_bands are {self.rgb_bands}",
                where=path,
                fix="mend rgb_bands of mmrs.PhotometricDistortion",
            )
        if not np.issubdtype(image.dtype, np.integer):
            raise ConfigError(
                f"images of {image.dtype} have no range of their own",
                where="PhotometricDistortion.value_range",
                fix="give the lowest and highest value, such as (0, 1) after scaling, or two for "
                "each band",
            )
        limits = np.iinfo(image.dtype)
        return np.float32([limits.min]), np.float32([limits.max])

    def _limits(self, value_range: Sequence[Any]) -> tuple[NDArray, NDArray]:
        pairs = np.asarray(value_range, dtype=np.float32)
        pairs = pairs[None] if pairs.ndim == 1 else pairs
        good = pairs.ndim == 2 and pairs.shape[1] == 2 and np.isfinite(pairs).all()
        if not good or not (pairs[:, 0] < pairs[:, 1]).all():
            raise _wrong("value_range", value_range, "(low, high) with low < high, or a list of it")
        return pairs[:, 0], pairs[:, 1]

    def _stays(self, results: dict, image: NDArray) -> NDArray[np.bool_] | None:
        """Which pixels are not to change, (H, W); None where all may."""
        gaps = None
        if np.issubdtype(image.dtype, np.floating):
            gaps = ~np.isfinite(image).all(axis=-1)
        if self.ignored_mask is not None:
            mask = np.asarray(results[self.ignored_mask], dtype=bool)
        elif self.ignore_index is not None and results.get("gt_seg_map") is not None:
            mask = np.asarray(results["gt_seg_map"]) == self.ignore_index
        else:
            return gaps
        return mask if gaps is None else mask | gaps

    def __repr__(self) -> str:
        names = "brightness contrast gamma noise hue saturation bands rgb_bands value_range prob"
        told = [f"{key}={getattr(self, key)!r}" for key in names.split()]
        told += [f"ignore_index={self.ignore_index}", f"ignored_mask={self.ignored_mask!r}"]
        return f"{type(self).__name__}({', '.join(told)})"


def _change_colour(
    values: NDArray[np.float32], rgb_bands: list[int], turn: float, factor: float
) -> NDArray[np.float32]:
    """Turn the hue, in degrees, and multiply the saturation of three of the bands."""
    hsv = cv2.cvtColor(np.ascontiguousarray(values[..., rgb_bands]), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + turn) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * factor, 0, 1)
    changed = values.copy()
    changed[..., rgb_bands] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return changed


def _uniform(low: float, high: float, count: int) -> NDArray[np.float32]:
    return np.random.uniform(low, high, count).astype(np.float32)


def _check_number(key: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, int | float) or not low <= value <= high:
        raise _wrong(key, value, f"{low} to {high}")


def _check_pair(key: str, pair: Any, *, above_0: bool) -> None:
    good = len(pair) == 2 and 0 <= pair[0] <= pair[1] and not (above_0 and pair[0] == 0)
    if not good:
        raise _wrong(key, pair, f"(low, high), 0 {'<' if above_0 else '<='} low <= high")


def _wrong(key: str, value: Any, rule: str) -> ConfigError:
    return ConfigError(
        f"must be {rule}, got {value!r}", where=f"PhotometricDistortion.{key}", fix="mend it"
    )
