"""A dense CRF over the blended probabilities of a scene, as its rows come from the top down."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmrs.apis.scene.crf_settings import CRFSettings, color_bands
from mmrs.apis.window.augmented_model import AugmentedWindowModel
from mmrs.apis.window.window_protocol import WindowModel
from mmrs.errors import ConfigError
from mmrs.geo.raster import Raster
from mmrs.geo.rows.scene_rows import Floats, SceneRows, Wanted, decide_rows
from mmrs.geo.windows import Window
from mmrs.ops.crf import dense_crf

MAX_COLOR = 1000  # beyond it colours are not those of 8 bits, and nothing is like anything else


class CRFPass:
    """Takes rows with probabilities, hands on rows of what a dense CRF makes of them.

    The scene is cut into tiles of a fixed grid; each sees ``halo`` pixels around it, of which the
    result is thrown away.  Pixels without data take no part: nothing of them reaches the others.

    Args:
        settings: How.
        raster: The scene on its own grid; its pixels are read again.
        rows: The rows that are wanted.
        take: Where they go, from the top down, a line of tiles at a time.
        threshold: As of the model.
        wanted: What is kept beside the class.
        device: Where the CRF is computed.

    Attributes:
        needed: The rows that it must be given, from the top down, without a gap.

    Raises:
        ConfigError: The colours cannot be told from what the settings say.

    Memory: ``K * (tile_px + 2 * halo) * width * 4`` bytes, whatever the scene's height, and the
    CRF of one tile.
    """

    def __init__(
        self,
        settings: CRFSettings,
        raster: Raster,
        *,
        rows: range,
        take: Callable[[SceneRows], None],
        threshold: float | None,
        wanted: Wanted,
        device: torch.device | str = "cpu",
    ) -> None:
        self._settings = settings
        self._raster = raster
        self._rows = rows
        self._take = take
        self._threshold = threshold
        self._wanted = wanted
        self._device = torch.device(device)
        self._bands, self._scale = color_bands(settings, raster)
        self.needed = settings.needed_rows(rows, raster.height)
        self._first = rows.start // settings.tile_px * settings.tile_px  # of the next tile line
        self._top = self._end = self.needed.start  # the rows that are held
        self._held: Floats | None = None

    def append(self, rows: SceneRows) -> None:
        """Take the next rows; what they finish is handed on before this returns.

        Raises:
            ValueError: They have no probabilities, or are too many.
            DataError: The scene is damaged there.
            ConfigError: The colours reach too far for the colour sigma.
        """
        if rows.probabilities is None:
            raise ValueError("the rows have no probabilities")
        end = self._end + len(rows)
        if end > self.needed.stop:
            raise ValueError(f"row {end}, but up to {self.needed.stop} are needed")
        given = rows.probabilities
        while given.shape[1]:
            count = min(given.shape[1], self._line_end - self._end)
            held = self._hold(given[:, :count])
            given = given[:, count:]
            # the last rows of a scene can finish several lines
            while self._first < self._rows.stop and self._end == self._line_end:
                self._refine_line(held)

    @property
    def _line_end(self) -> int:
        """One past the last row that the next tile line sees."""
        end = self._first + self._settings.tile_px + self._settings.halo
        return min(end, self._raster.height)

    def _hold(self, given: Floats) -> Floats:
        """Put rows below those that are held."""
        if self._held is None:
            if len(given) < 2:
                raise ConfigError("a CRF needs two classes or more, the model has 1", where="crf")
            rows = self._settings.tile_px + 2 * self._settings.halo
            shape = (len(given), min(rows, len(self.needed)), self._raster.width)
            self._held = np.empty(shape, dtype=np.float32)
        first = self._end - self._top
        self._held[:, first : first + given.shape[1]] = given
        self._end += given.shape[1]
        return self._held

    def _refine_line(self, held: Floats) -> None:
        """Refine the next line of tiles, hand it on, and forget what no later line sees."""
        tile, halo = self._settings.tile_px, self._settings.halo
        top = max(0, self._first - halo)
        last = min(self._first + tile, self._raster.height)
        seen = held[:, top - self._top : self._end - self._top]
        pixels = self._raster.read(Window(top, 0, seen.shape[1], self._raster.width))
        inside = slice(self._first - top, last - top)
        line = seen[:, inside].copy()
        for left in range(0, self._raster.width, tile):
            right = min(left + tile, self._raster.width)
            begin = max(0, left - halo)
            columns = slice(begin, right + halo)
            part = slice(left - begin, right - begin)
            refined = self._refine(seen[:, :, columns], pixels[:, columns], inside, part)
            if refined is not None:
                line[:, :, left:right] = refined
        self._hand_on(line, last)
        self._first = last
        keep = max(self._top, last - halo)
        kept = held[:, keep - self._top : self._end - self._top].copy()
        held[:, : kept.shape[1]] = kept
        self._top = keep

    def _refine(
        self, scores: Floats, pixels: NDArray[Any], rows: slice, columns: slice
    ) -> Floats | None:
        """The inner part of a tile; None where it holds no data.

        Args:
            scores: (K, h, w) probabilities of the tile and its halo, NaN without data.
            pixels: (h, w, bands) likewise.
            rows: Of the inner part.
            columns: Likewise.
        """
        valid = np.isfinite(scores[0])
        if not valid[rows, columns].any():
            return None
        colors = np.ascontiguousarray(pixels[..., self._bands].transpose(2, 0, 1), np.float32)
        colors *= self._scale
        colors[:, ~valid] = 0
        self._check_reach(colors)
        refined = dense_crf(
            torch.from_numpy(np.ascontiguousarray(scores))[None].to(self._device),
            torch.from_numpy(colors)[None].to(self._device),
            valid=torch.from_numpy(valid)[None].to(self._device),
            **self._settings.options,
        )
        return np.asarray(refined[0, :, rows, columns].cpu().numpy())

    def _check_reach(self, colors: Floats) -> None:
        reach = float(np.abs(colors).max())
        if self._settings.bilateral_weight and reach > max(
            MAX_COLOR, 75 * self._settings.bilateral_color_sigma
        ):
            largest = round(reach / self._scale)
            raise ConfigError(
                f"colours reach {reach:.0f} with color_scale={self._scale:g}, but the colour "
                "sigma is made for 0 to 255",
                where="crf",
                fix=f"set color_scale=255/{largest}, or 255 by the largest value that the sensor "
                "gives",
            )

    def _hand_on(self, line: Floats, last: int) -> None:
        """Hand on the wanted rows of a line that ends above row ``last``."""
        first = max(self._first, self._rows.start)
        line = line[:, first - self._first : min(last, self._rows.stop) - self._first]
        invalid = ~np.isfinite(line[0])
        line[:, invalid] = 0
        rows = decide_rows(line, self._threshold, self._wanted)
        rows.clear(invalid)
        self._take(rows)


def without_window_crf(model: WindowModel) -> WindowModel:
    """A model without the CRF that it puts after each window, if it has one.

    Its probabilities are what a CRF over the scene begins with: the same ground is not refined
    twice.  The network is shared.
    """
    if isinstance(model, AugmentedWindowModel):
        other = copy.copy(model)
        other.model = without_window_crf(model.model)
        return other
    unrefined: Callable[[], WindowModel] | None = getattr(model, "unrefined", None)
    return model if unrefined is None else unrefined()
