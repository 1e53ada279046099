"""Warping of feature maps by a flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def flow_warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample a map bilinearly where a flow points to.

    Output pixel (row i, column j) reads ``x`` at (i + flow_y, j + flow_x); beyond the edge stands
    the edge's value. A zero flow gives ``x`` itself, or where ``x`` has another size than the
    flow, what `torch.nn.functional.interpolate` (bilinear, align_corners=False) gives.

    The positions are computed in float32 at least: in half precision they would be an eighth of a
    pixel off on a map of 512 px.

    Args:
        x: (B, C, h, w), any float type and memory format.
        flow: (B, 2, H, W), (x, y) displacement in pixels of the output, x to the right, y down.

    Returns:
        (B, C, H, W) in the type of ``x``.

    Raises:
        ValueError: a shape is wrong, or the batches differ.

    Source: the warp of IFWM; grid_sample with align_corners=False and border padding.
    """
    if x.ndim != 4 or flow.ndim != 4 or flow.shape[1] != 2 or len(x) != len(flow):
        raise ValueError(
            "x must be (B, C, h, w) and flow (B, 2, H, W) of the same batch, got "
            f"{tuple(x.shape)} and {tuple(flow.shape)}"
        )
    h, w = flow.shape[-2:]
    double = torch.float64 in (x.dtype, flow.dtype)
    dtype = torch.float64 if double else torch.float32
    columns = torch.arange(w, dtype=dtype, device=x.device)
    rows = torch.arange(h, dtype=dtype, device=x.device)
    flow_x, flow_y = flow.to(dtype).unbind(1)  # (B, H, W) each
    # pixel p of n has its centre at (2 p + 1) / n - 1
    grid_x = (flow_x + (columns + 0.5)) * (2 / w) - 1
    grid_y = (flow_y + (rows + 0.5)[:, None]) * (2 / h) - 1
    # a stack of planes seen as pairs: grid_sample's CPU kernel reads planes without shuffling
    grid = torch.stack([grid_x, grid_y], dim=1).permute(0, 2, 3, 1)  # (B, H, W, 2)
    out = F.grid_sample(
        x.to(dtype), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return out.to(x.dtype)
