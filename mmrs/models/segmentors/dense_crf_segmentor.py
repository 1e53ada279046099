"""Any segmentor with a dense CRF after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from torch import Tensor

from mmrs.errors import ConfigError
from mmrs.ops.crf import CRFOptions, dense_crf, tiled_dense_crf
from mmrs.registry import MODELS

# beyond them colours are not those of 8 bits, and nothing is like anything else; a sigma that
# was set larger allows for more
_MAX_COLOR = 1000
_MAX_COLOR_IN_SIGMAS = 75


class DenseCRFMixin:
    """Refines what a segmentor predicts; training, parameters and checkpoints stay the same.

    The network's logits become probabilities, `mmrs.ops.crf.dense_crf` draws them towards the
    colour edges of the image, and their logarithms go on as logits: classes, test-time
    augmentation and heads with one sigmoid output work as before. In slide mode the CRF sees the
    whole image, after the windows are merged. Padding has no part in it. ``mode='tensor'``
    (export) stays without the CRF.

    Args:
        *args: of the segmentor.
        crf: options of `mmrs.ops.crf.dense_crf`; its defaults where nothing is given.
        crf_bands: which bands of the network's input are the colours; all for None.
        crf_color_scale: brings pixel values, as the files hold them, to the units of
            ``bilateral_color_sigma``: 1 for 8 bits, 255 / 2047 for 11 bits in 16. The data
            preprocessor's mean and deviation are undone before.
        crf_tile_px: side of the tiles that bound the memory on large images; None for one.
        crf_halo_px: what a tile sees around it; about twice ``bilateral_sigma_px``.
        **kwargs: of the segmentor.

    Raises:
        ValueError: an option is unknown or out of range.
        ConfigError: colours reach far beyond 255, so that ``crf_color_scale`` does not fit them;
            told when an image is predicted.

    Source: see `mmrs.ops.crf.dense_crf`.
    """

    def __init__(
        self,
        *args,
        crf: Mapping | None = None,
        crf_bands: Sequence[int] | None = (0, 1, 2),
        crf_color_scale: float = 1.0,
        crf_tile_px: int | None = None,
        crf_halo_px: int = 160,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        unknown = set(crf or {}) - set(CRFOptions.__annotations__)
        if unknown:
            raise ValueError(
                f"crf must hold options of dense_crf ({', '.join(CRFOptions.__annotations__)}), "
                f"got {', '.join(sorted(unknown))}"
            )
        if crf_color_scale <= 0:
            raise ValueError(f"crf_color_scale must be > 0, got {crf_color_scale}")
        self.crf = dict(crf or {})
        self.crf_bands = None if crf_bands is None else list(crf_bands)
        self.crf_color_scale = crf_color_scale
        self.crf_tile_px = crf_tile_px
        self.crf_halo_px = crf_halo_px
        # wrong values show here, on one pixel that does not count, not after the first epoch
        pixel = torch.zeros(1, max(self.out_channels, 2), 1, 1, device="cpu")
        self._apply_crf(pixel, pixel, pixel[:, 0].bool())

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Refined logits (B, K, H, W) of the padded batch."""
        return self.refine_logits(
            super().inference(inputs, batch_img_metas), inputs, batch_img_metas
        )

    def refine_logits(
        self, logits: Tensor, inputs: Tensor, batch_img_metas: Sequence[Mapping]
    ) -> Tensor:
        """The CRF alone.

        Args:
            logits: (B, K, H, W), or (B, 1, H, W) of a sigmoid head.
            inputs: (B, C, H, W), as the network got them.
            batch_img_metas: with the padding of each image.

        Returns:
            Log-probabilities (B, K, H, W), or log-odds (B, 1, H, W); float32.
        """
        logits = logits.float()
        is_binary = logits.shape[1] == 1
        if is_binary:
            second = logits.sigmoid()
            probabilities = torch.cat([1 - second, second], 1)
        else:
            probabilities = logits.softmax(1)
        valid = _inside(probabilities, batch_img_metas)
        colors = self._colors(inputs)
        self._check_reach(colors, valid)
        refined = self._apply_crf(probabilities, colors, valid)
        # a probability that left float32's range still has a finite logarithm
        scores = refined.clamp_min(torch.finfo(torch.float32).tiny).log()
        return scores[:, 1:] - scores[:, :1] if is_binary else scores

    def _apply_crf(self, probabilities: Tensor, colors: Tensor, valid: Tensor | None) -> Tensor:
        if self.crf_tile_px is None:
            return dense_crf(probabilities, colors, valid=valid, **self.crf)
        return tiled_dense_crf(
            probabilities,
            colors,
            tile_px=self.crf_tile_px,
            halo_px=self.crf_halo_px,
            valid=valid,
            **self.crf,
        )

    def _colors(self, inputs: Tensor) -> Tensor:
        """The chosen bands in units of the colour sigma."""
        pixels = inputs.float()
        preprocessor = self.data_preprocessor
        if getattr(preprocessor, "_enable_normalize", False):
            pixels = pixels * preprocessor.std + preprocessor.mean
        if self.crf_bands is not None:
            num_bands = pixels.shape[1]
            if not all(-num_bands <= band < num_bands for band in self.crf_bands):
                raise ValueError(f"crf_bands must be among {num_bands} bands, got {self.crf_bands}")
            pixels = pixels[:, self.crf_bands]
        return pixels * self.crf_color_scale

    def _check_reach(self, colors: Tensor, valid: Tensor) -> None:
        if not colors.shape[1] or self.crf.get("bilateral_weight") == 0:
            return
        sigma = self.crf.get("bilateral_color_sigma", 0)
        reach = _reach(colors, valid)
        # NaN and infinity are no matter of the scale: `dense_crf` tells them
        if max(_MAX_COLOR, _MAX_COLOR_IN_SIGMAS * sigma) < reach < float("inf"):
            largest = round(reach / self.crf_color_scale)
            raise ConfigError(
                f"colours reach {reach:.0f} with crf_color_scale={self.crf_color_scale:g}, but "
                "the colour sigma is made for 0 to 255",
                where="model.crf_color_scale",
                fix=f"set crf_color_scale=255/{largest}, or 255 by the largest value that the "
                "sensor gives, such as 255/2047 for 11 bits",
            )


def _reach(colors: Tensor, valid: Tensor) -> float:
    """The largest absolute value of the valid pixels, what fills gaps left out."""
    size = torch.where(valid, colors.abs().amax(1), 0)
    farthest = size.amax((1, 2), keepdim=True)
    # -9999 or 65535 where there is no data: the same in all bands, and beyond all colours; but
    # for the rounding of normalising and undoing it
    spread = colors.amax(1) - colors.amin(1)
    is_gap = (spread <= 1e-3 * size) & (size >= 0.999 * farthest)
    return size.masked_fill(is_gap, 0).max().item()


def _inside(probabilities: Tensor, batch_img_metas: Sequence[Mapping]) -> Tensor:
    """(B, H, W) bool, False on padding; where MMSeg's post-processing finds it."""
    b, _, h, w = probabilities.shape
    inside = torch.zeros(b, h, w, dtype=torch.bool, device=probabilities.device)
    for mask, meta in zip(inside, batch_img_metas, strict=True):
        padding = meta.get("img_padding_size", meta.get("padding_size", (0, 0, 0, 0)))
        left, right, top, bottom = padding
        mask[top : h - bottom, left : w - right] = True
    return inside


@MODELS.register_module()
class CRFEncoderDecoder(DenseCRFMixin, EncoderDecoder):
    """MMSegmentation's `EncoderDecoder` with a dense CRF; options: `DenseCRFMixin`."""


@MODELS.register_module()
class CRFCascadeEncoderDecoder(DenseCRFMixin, CascadeEncoderDecoder):
    """MMSegmentation's `CascadeEncoderDecoder` with a dense CRF; options: `DenseCRFMixin`."""
