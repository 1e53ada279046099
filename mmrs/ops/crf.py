"""A fully connected conditional random field over a segmentation, by mean-field inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from mmrs.ops.permutohedral import build_lattice, lattice_filter

Kernel = Callable[[Tensor], Tensor]
_TINY = 1e-20


class CRFOptions(TypedDict, total=False):
    """Options of `dense_crf`, as a caller hands them on."""

    num_iters: int
    spatial_sigma_px: float
    spatial_weight: float
    bilateral_sigma_px: float
    bilateral_color_sigma: float
    bilateral_weight: float
    compatibility: Sequence[Sequence[float]] | Tensor | None
    min_probability: float
    num_rings: int


@torch.no_grad()
def dense_crf(
    probabilities: Tensor,
    image: Tensor,
    *,
    valid: Tensor | None = None,
    num_iters: int = 10,
    spatial_sigma_px: float = 3.0,
    spatial_weight: float = 3.0,
    bilateral_sigma_px: float = 80.0,
    bilateral_color_sigma: float = 13.0,
    bilateral_weight: float = 10.0,
    compatibility: Sequence[Sequence[float]] | Tensor | None = None,
    min_probability: float = 1e-5,
    num_rings: int = 1,
) -> Tensor:
    """Draw a segmentation towards the colour edges of its image.

    Every pixel is joined to every other by two Gaussian kernels,

        spatial_weight exp(-|p_i - p_j|² / 2 spatial_sigma²)
        + bilateral_weight exp(-|p_i - p_j|² / 2 sigma² - |c_i - c_j|² / 2 color_sigma²)

    each normalised symmetrically, D^-1/2 K D^-1/2 with D the row sums and K with its diagonal, as
    the authors' code and pydensecrf do by default. The spatial kernel is exact; the bilateral
    one goes through the permutohedral lattice: against exact sums at 96 x 96 px with the defaults,
    0.03 % of the labels differ, single probabilities by up to 0.95 (configs/deeplabv3/README.md).

    It is a step after the network, without a gradient.

    Args:
        probabilities: (B, K, H, W), the softmax of the network; K >= 2.
        image: (B, C, H, W), any numeric type, in the units of ``bilateral_color_sigma`` (0 to 255
            for the default).
        valid: (B, H, W) bool; other pixels (padding, no data) keep their probabilities, and
            nothing of them reaches the valid ones. All by default.
        num_iters: updates of the mean field, all pixels at once.
        spatial_sigma_px: reach of the smoothness, in pixels.
        spatial_weight: of the smoothness; 0 leaves it out.
        bilateral_sigma_px: reach of the appearance kernel, in pixels.
        bilateral_color_sigma: reach of the appearance kernel, in units of the image.
        bilateral_weight: of the appearance kernel; 0 leaves it out.
        compatibility: (K, K) penalty of label k (row) beside label l (column); Potts by default,
            1 for unlike labels and 0 for like ones.
        min_probability: a network this sure is sure enough; without it a probability of 0 could
            never change.
        num_rings: accuracy of the lattice, see `mmrs.ops.permutohedral.build_lattice`; 0 is the
            published method, 1 about halves the labels that differ from exact sums.

    Returns:
        (B, K, H, W) float32 probabilities.

    Raises:
        ValueError: an option or a shape is wrong, or the image is not finite where it is valid.

    Source: Krähenbühl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge
        Potentials (2011), eq. 3 and alg. 1; 10 iterations and the other defaults from its code.
    """
    _check_shapes(probabilities, image, valid)
    _check_options(
        num_iters=num_iters,
        num_rings=num_rings,
        min_probability=min_probability,
        spatial_weight=spatial_weight,
        bilateral_weight=bilateral_weight,
        spatial_sigma_px=spatial_sigma_px,
        bilateral_sigma_px=bilateral_sigma_px,
        bilateral_color_sigma=bilateral_color_sigma,
    )
    penalty = _penalty(compatibility, probabilities)
    if valid is None:
        valid = torch.ones_like(probabilities[:, 0], dtype=torch.bool)
    inside = valid[:, None]
    # half precision has neither the range nor the digits for the sums over a whole image
    with torch.autocast(probabilities.device.type, enabled=False):
        given = probabilities.float()
        if not num_iters or not bool(valid.any()):
            return given.clone()
        kernels: list[tuple[float, Kernel]] = []
        if spatial_weight:
            kernels.append((spatial_weight, _spatial_kernel(valid, spatial_sigma_px)))
        if bilateral_weight:
            sigmas = (bilateral_sigma_px, bilateral_color_sigma)
            kernels.append((bilateral_weight, _bilateral_kernel(image, valid, sigmas, num_rings)))
        log_unary = given.masked_fill(~inside, 1.0).clamp_min(min_probability).log()
        q = log_unary.softmax(1)
        for _ in range(num_iters):
            message = torch.zeros_like(q)
            for weight, kernel in kernels:
                message = message + weight * kernel(q)
            if penalty is not None:
                message = -torch.einsum("kl,blhw->bkhw", penalty, message)
            q = (log_unary + message).softmax(1)
        return torch.where(inside, q, given)


def tiled_dense_crf(
    probabilities: Tensor,
    image: Tensor,
    *,
    tile_px: int,
    halo_px: int,
    valid: Tensor | None = None,
    **options: Unpack[CRFOptions],
) -> Tensor:
    """`dense_crf` in tiles, for scenes: the memory is that of one tile with its halo.

    A pixel sees what lies in its tile and ``halo_px`` around it, where the whole scene would let
    it see everything. A halo of twice ``bilateral_sigma_px`` covers 95 % of a Gaussian.

    Args:
        probabilities: (B, K, H, W).
        image: (B, C, H, W).
        tile_px: side of a tile.
        halo_px: what is read around it, and thrown away after.
        valid: (B, H, W) bool.
        **options: of `dense_crf`.

    Returns:
        (B, K, H, W) float32 probabilities; equal to `dense_crf` where the scene is one tile.

    Raises:
        ValueError: as `dense_crf`, or a size is wrong.
    """
    if tile_px < 1 or halo_px < 0:
        raise ValueError(f"tile_px must be >= 1 and halo_px >= 0, got {tile_px} and {halo_px}")
    _check_shapes(probabilities, image, valid)
    height, width = probabilities.shape[-2:]
    refined = torch.empty_like(probabilities, dtype=torch.float32)
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            y, x = max(top - halo_px, 0), max(left - halo_px, 0)
            bottom, right = min(top + tile_px, height), min(left + tile_px, width)
            window = (..., slice(y, bottom + halo_px), slice(x, right + halo_px))
            part = dense_crf(
                probabilities[window],
                image[window],
                valid=None if valid is None else valid[window],
                **options,
            )
            refined[..., top:bottom, left:right] = part[
                ..., top - y : bottom - y, left - x : right - x
            ]
    return refined


def _spatial_kernel(valid: Tensor, sigma_px: float) -> Kernel:
    """A Gaussian over positions; it is separable, so two small matrices do it without error."""
    inside = valid[:, None].float()
    rows, columns = (
        _gaussian_matrix(size, sigma_px, valid.device) for size in inside.shape[-2:]
    )  # (H, H), (W, W)
    return _normalized(lambda x: inside * (rows @ (inside * x) @ columns), inside)


def _gaussian_matrix(size: int, sigma_px: float, device: torch.device) -> Tensor:
    position = torch.arange(size, dtype=torch.float32, device=device) / sigma_px
    return (-0.5 * (position[:, None] - position).square()).exp()


def _bilateral_kernel(
    image: Tensor, valid: Tensor, sigmas: tuple[float, float], num_rings: int
) -> Kernel:
    """A Gaussian over positions and colours, of the valid pixels."""
    b, h, w = valid.shape
    group, row, column = valid.nonzero(as_tuple=True)  # (P,) each
    position = torch.stack([row, column], 1).float() / sigmas[0]
    color = image[group, :, row, column].float() / sigmas[1]
    lattice = build_lattice(torch.cat([position, color], 1), groups=group, num_rings=num_rings)

    def apply(x: Tensor) -> Tensor:
        out = x.new_zeros(b, h, w, x.shape[1])
        out[group, row, column] = lattice_filter(lattice, x[group, :, row, column])
        return out.permute(0, 3, 1, 2)

    return _normalized(apply, valid[:, None].float())


def _normalized(kernel: Kernel, ones: Tensor) -> Kernel:
    """D^-1/2 K D^-1/2, with D = K 1."""
    scale = kernel(ones).clamp_min(_TINY).rsqrt() * ones
    return lambda x: scale * kernel(scale * x)


def _penalty(
    compatibility: Sequence[Sequence[float]] | Tensor | None, like: Tensor
) -> Tensor | None:
    if compatibility is None:
        return None  # Potts: the sum over unlike labels is a constant less the like one
    penalty = torch.as_tensor(compatibility, dtype=torch.float32, device=like.device)
    k = like.shape[1]
    if penalty.shape != (k, k):
        raise ValueError(f"compatibility must be {(k, k)}, got {tuple(penalty.shape)}")
    return penalty


def _check_shapes(probabilities: Tensor, image: Tensor, valid: Tensor | None) -> None:
    if probabilities.ndim != 4 or probabilities.shape[1] < 2:
        raise ValueError(
            f"probabilities must be (B, K, H, W) with K >= 2, got {tuple(probabilities.shape)}"
        )
    b, _, h, w = probabilities.shape
    if image.ndim != 4 or (image.shape[0], *image.shape[2:]) != (b, h, w):
        raise ValueError(f"image must be ({b}, C, {h}, {w}), got {tuple(image.shape)}")
    if valid is not None and (valid.shape != (b, h, w) or valid.dtype != torch.bool):
        raise ValueError(
            f"valid must be bool of {(b, h, w)}, got {valid.dtype} of {tuple(valid.shape)}"
        )


def _check_options(*, min_probability: float, **numbers: float) -> None:
    if not 0 < min_probability < 1:
        raise ValueError(f"min_probability must be in (0, 1), got {min_probability}")
    for name, value in numbers.items():
        if "sigma" in name and value <= 0:
            raise ValueError(f"{name} must be > 0, got {value}")
        if value < 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
