"""Multi-head self-attention inside square windows."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

WindowLayout = Literal["contiguous", "grid"]
AttentionPath = Literal["auto", "eager", "sdpa"]


def window_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    num_heads: int,
    window_size: int,
    layout: WindowLayout = "contiguous",
    path: AttentionPath = "auto",
) -> Tensor:
    """Softmax attention of every pixel over the pixels of its own window.

    A map whose sides are no multiples of ``window_size`` is padded below and on the right; the
    padding is never attended to and is cropped again.

    Args:
        query: (B, C, H, W) queries.
        key: (B, C, H, W) keys.
        value: (B, C, H, W) values.
        num_heads: heads that C is split into.
        window_size: side L of a window, in pixels of this feature map.
        layout: ``contiguous`` windows of L x L neighbouring pixels, or a ``grid`` of L x L
            pixels that lie H / L and W / L apart.
        path: ``eager`` (two matrix products), ``sdpa`` (PyTorch's fused kernel), or ``auto``,
            the one that measured faster on this kind of device (`attention_path`).

    Returns:
        (B, C, H, W), the weighted mean of the values; the same values on either path.

    Raises:
        ValueError: shapes differ, C is no multiple of ``num_heads``, or an option is unknown.

    Source: Hi-ResNet (arXiv 2305.12691), the WMHSA of the IA block; windows: Swin (2103.14030).
    """
    if not query.shape == key.shape == value.shape:
        raise ValueError(
            "query, key and value must have one shape, got "
            f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}"
        )
    c = query.shape[1]
    b, h, w = map_size(query)
    if c % num_heads:
        raise ValueError(f"channels must be a multiple of num_heads={num_heads}, got {c}")
    if layout not in ("contiguous", "grid"):
        raise ValueError(f"layout must be 'contiguous' or 'grid', got {layout!r}")
    if path == "auto":
        path = attention_path(query.device)
    if path not in ("eager", "sdpa"):
        raise ValueError(f"path must be 'auto', 'eager' or 'sdpa', got {path!r}")

    pad_h, pad_w = -h % window_size, -w % window_size
    bias = None
    # an exported graph serves every size, so it pads always, by nothing where nothing is missing
    if torch.onnx.is_in_onnx_export() or pad_h or pad_w:
        query, key, value = (F.pad(x, (0, pad_w, 0, pad_h)) for x in (query, key, value))
        bias = _padding_bias(h, w, pad_h, pad_w, window_size, layout, query)

    grid = (b, num_heads, (h + pad_h) // window_size, (w + pad_w) // window_size)
    q, k, v = (
        _to_windows(x, grid, c // num_heads, window_size, layout) for x in (query, key, value)
    )
    attend = _attend_eager if path == "eager" else _attend_sdpa
    out = attend(q, k, v, bias)  # (B, N, heads, L*L, C/heads)
    out = _from_windows(out, grid, c // num_heads, window_size, layout)
    return out[..., :h, :w] if bias is not None else out


def map_size(x: Tensor) -> tuple[int, int, int]:
    """(B, H, W) of a map; apart, so that an exporter can take equal sizes for one.

    A traced graph asks every tensor anew for its size, and computes the windows from it.
    """
    return x.shape[0], x.shape[2], x.shape[3]


def attention_path(device: torch.device) -> Literal["eager", "sdpa"]:
    """The path that measures faster for 8 x 8 windows on this kind of device.

    A table rather than a measurement at run time: the two differ in the last bits, and a resumed
    run has to repeat itself.  ``benchmarks/attention.py`` measures both on the device at hand.
    """
    return "eager" if device.type == "cpu" else "sdpa"


def _attend_eager(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    logits = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    return logits.softmax(dim=-1) @ v


def _attend_sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


Grid = tuple[int, int, int, int]  # batch, heads, windows in a column, windows in a row


def _to_windows(x: Tensor, grid: Grid, d: int, size: int, layout: WindowLayout) -> Tensor:
    b, num_heads, rows, cols = grid
    if layout == "contiguous":
        x = x.view(b, num_heads, d, rows, size, cols, size)
        x = x.permute(0, 3, 5, 1, 4, 6, 2)
    else:
        x = x.view(b, num_heads, d, size, rows, size, cols)
        x = x.permute(0, 4, 6, 1, 3, 5, 2)
    return x.reshape(b, rows * cols, num_heads, size * size, d)


def _from_windows(x: Tensor, grid: Grid, d: int, size: int, layout: WindowLayout) -> Tensor:
    b, num_heads, rows, cols = grid
    x = x.view(b, rows, cols, num_heads, size, size, d)
    # to (B, heads, d, row axes, column axes)
    order = (0, 3, 6, 1, 4, 2, 5) if layout == "contiguous" else (0, 3, 6, 4, 1, 5, 2)
    return x.permute(order).reshape(b, num_heads * d, rows * size, cols * size)


def _padding_bias(
    h: int, w: int, pad_h: int, pad_w: int, size: int, layout: WindowLayout, like: Tensor
) -> Tensor:
    """0 on pixels of the map, a large negative number on padding: (1, N, 1, 1, L*L)."""
    # finite, so that a grid window that holds nothing but padding yields no NaN
    bias = F.pad(
        like.new_zeros((1, 1, h, w)), (0, pad_w, 0, pad_h), value=torch.finfo(like.dtype).min / 2
    )
    grid = (1, 1, (h + pad_h) // size, (w + pad_w) // size)
    return _to_windows(bias, grid, 1, size, layout).transpose(-2, -1)
