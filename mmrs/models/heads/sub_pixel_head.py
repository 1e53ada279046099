"""A decode head that draws every pixel itself instead of interpolating between cells."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor

from mmrs.errors import ConfigError
from mmrs.models.layers.sub_pixel_conv import SubPixelConv
from mmrs.registry import MODELS


@MODELS.register_module()
class SubPixelHead(BaseDecodeHead):
    """Map -> dropout -> 1x1 to r² K channels -> pixel shuffle: logits at full resolution.

    A backbone of stride r rounds sizes up, so the logits of an image whose sides are no
    multiples of r are larger than it, by less than r pixels. These are **cut at the right and
    the bottom**, where the padding of the backbone has put them: the cells keep the size of r
    pixels that they were trained at. Where logits and image differ by more (r is not the stride
    of the map), the logits are resized bilinearly, as in any head of MMSegmentation.

    Args:
        in_channels: of the map, or of each where ``input_transform='resize_concat'``.
        upscale_factor: r, the stride of the map.
        kernel_size: of the convolution, odd.
        icnr: start as a nearest-neighbour upsampling (by ``init_weights``).
        dropout_ratio: before the convolution; the paper names none.
        loss_decode: cross-entropy over the valid pixels by default.
        **kwargs: `mmseg.models.decode_heads.BaseDecodeHead`: num_classes, out_channels,
            threshold, in_index, input_transform, ignore_index, ...

    Shapes: a map (B, in_channels, H, W) -> logits (B, K, r H, r W).

    Raises:
        ValueError: ``input_transform`` is ``multiple_select``, or an option is out of range.
        ConfigError: the map has other channels.

    Source: the dilated-SPP paper, eq. 12 (its C must be the number of classes).
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        *,
        upscale_factor: int = 16,
        kernel_size: int = 1,
        icnr: bool = True,
        dropout_ratio: float = 0.0,
        loss_decode: dict | list[dict] | None = None,
        **kwargs,
    ):
        if kwargs.get("input_transform") == "multiple_select":
            raise ValueError(
                "input_transform must be None or 'resize_concat' (one map is shuffled), "
                "got 'multiple_select'"
            )
        channels = in_channels if isinstance(in_channels, int) else sum(in_channels)
        super().__init__(
            in_channels=in_channels if isinstance(in_channels, int) else list(in_channels),
            channels=channels,
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode or {"type": "CrossEntropyLoss", "avg_non_ignore": True},
            **kwargs,
        )
        self.upscale_factor = upscale_factor
        self.conv_seg = SubPixelConv(
            channels, self.out_channels, upscale_factor, kernel_size=kernel_size, icnr=icnr
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits at r times the size of the map."""
        x = self._transform_inputs(inputs)
        if x.shape[1] != self.channels:
            raise ConfigError(
                f"in_channels is {self.channels}, but the map has {x.shape[1]} channels",
                where="SubPixelHead.in_channels",
                fix=f"set in_channels={x.shape[1]}, or choose another in_index",
            )
        return self.cls_seg(x)

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: list) -> dict:
        """Losses of the shuffled logits, at the size of the labels.

        Args:
            seg_logits: (B, K, r H, r W).
            batch_data_samples: with the ground truth.

        Returns:
            Losses and ``acc_seg``, by name.
        """
        size = batch_data_samples[0].gt_sem_seg.data.shape[-2:]
        # at its own size MMSegmentation's bilinear step returns every logit as it is
        return super().loss_by_feat(self.fit(seg_logits, size), batch_data_samples)

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits at the size of the network's input.

        Args:
            seg_logits: (B, K, r H, r W).
            batch_img_metas: of the images; ``pad_shape`` goes before ``img_shape``.

        Returns:
            (B, K, height, width).
        """
        meta = batch_img_metas[0]
        # a sliding window puts its own size, a torch.Size, into img_shape
        windowed = isinstance(meta["img_shape"], torch.Size)
        size = meta["img_shape"] if windowed else meta.get("pad_shape", meta["img_shape"])
        return self.fit(seg_logits, size)

    def fit(self, seg_logits: Tensor, size: Sequence[int]) -> Tensor:
        """Cut logits that are less than r pixels too large, resize others.

        Args:
            seg_logits: (B, K, h, w).
            size: rows and columns wanted.

        Returns:
            (B, K, *size).
        """
        rows, cols = size[0], size[1]
        surplus = (seg_logits.shape[-2] - rows, seg_logits.shape[-1] - cols)
        if all(0 <= excess < self.upscale_factor for excess in surplus):
            return seg_logits[..., :rows, :cols]
        return resize(seg_logits, (rows, cols), mode="bilinear", align_corners=self.align_corners)
