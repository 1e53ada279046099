"""Gaussian filtering in many dimensions by the permutohedral lattice, in tensor operations."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

_KEY_BITS = 62
_MAX_FEATURE = 1e5  # beyond it, float32 has too few digits left for the place within a cell


@dataclass(frozen=True)
class PermutohedralLattice:
    """The lattice points around a set of points: built once, used by every filtering.

    Attributes:
        splat: (M, P) sparse, from points to lattice points; row = lattice point.
        slice: (P, M) sparse, its transpose.
        neighbors: (D + 1, 2, M) int64, both neighbours along each direction; M where there is
            none.
    """

    splat: Tensor
    slice: Tensor
    neighbors: Tensor


def build_lattice(
    features: Tensor, *, groups: Tensor | None = None, num_rings: int = 0
) -> PermutohedralLattice:
    """Enclose every point by the D + 1 lattice points of its simplex, and link these.

    Args:
        features: (P, D) float, positions in units of the Gaussian's standard deviation.
        groups: (P,) int64; points of different groups (the images of a batch) do not meet. One
            group by default.
        num_rings: rings of empty lattice points added around those in use. A blur loses what
            leaves the points it knows: a ring about halves the error on noisy images and costs
            up to four times the lattice points. 0 is the published method.

    Returns:
        The lattice.

    Raises:
        ValueError: a shape is wrong, a value is not finite or too large, or the lattice has more
            cells than an integer can number.

    Source: Adams, Baek, Davis: Fast High-Dimensional Filtering Using the Permutohedral Lattice
        (2010), sec. 3. The hash table of the paper is a sorted list of integer keys here.
    """
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"features must be (P, D) with D >= 1, got {tuple(features.shape)}")
    if groups is not None and groups.shape != features.shape[:1]:
        raise ValueError(
            f"groups must be {tuple(features.shape[:1])} for features {tuple(features.shape)}, "
            f"got {tuple(groups.shape)}"
        )
    if num_rings < 0:
        raise ValueError(f"num_rings must be >= 0, got {num_rings}")
    largest = features.abs().max().item() if features.numel() else 0.0
    if not largest <= _MAX_FEATURE:
        raise ValueError(
            f"features must be finite and within +-{_MAX_FEATURE:.0f} standard deviations, got "
            f"{largest:.6g}; leave invalid points out, or use larger sigmas"
        )
    corners, weights = _enclosing_simplex(features.detach().float())
    keys, steps = _pack(corners, groups, reach=num_rings + 1)
    lattice_keys, index = torch.unique(keys, return_inverse=True)  # (M,), (P, D + 1)
    for _ in range(num_rings):
        grown = _with_neighbors(lattice_keys, steps)
        index = torch.searchsorted(grown, lattice_keys)[index]
        lattice_keys = grown
    splat, slice_ = _interpolation(index, weights, len(lattice_keys))
    return PermutohedralLattice(splat, slice_, _find_neighbors(lattice_keys, steps))


def lattice_filter(lattice: PermutohedralLattice, values: Tensor) -> Tensor:
    """Sum of the values of all points, weighted by a Gaussian of their distance.

    Equal to sum_j exp(-|f_i - f_j|² / 2) v_j up to the lattice's error and one constant factor,
    which a normalisation by the filtered ones removes.

    Args:
        lattice: of P points.
        values: (P, K) float32.

    Returns:
        (P, K) float32.
    """
    stored = lattice.splat @ values  # (M, K)
    for before, after in lattice.neighbors:
        padded = torch.cat([stored, stored.new_zeros(1, stored.shape[1])])
        stored = 0.5 * stored + 0.25 * (padded[before] + padded[after])
    return lattice.slice @ stored


def _enclosing_simplex(features: Tensor) -> tuple[Tensor, Tensor]:
    """Corners (P, D + 1, D + 1) int64 and barycentric weights (P, D + 1) of every point."""
    p, d = features.shape
    rows = torch.arange(d + 1, device=features.device)
    elevated = features @ _elevation(d, features)  # (P, D + 1), rows sum to 0
    # the nearest point whose coordinates are multiples of d + 1, brought back to the plane
    origin = (elevated / (d + 1)).round()
    excess = origin.sum(1, keepdim=True).long()
    descending = (elevated - origin * (d + 1)).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(descending).scatter_(1, descending, rows.expand(p, -1)) + excess
    wrap = (rank < 0).long() - (rank > d).long()
    rank, origin = rank + wrap * (d + 1), origin.long() + wrap
    # weights: the gaps between the sorted residuals
    residual = elevated / (d + 1) - origin
    rising = torch.empty_like(residual).scatter_(1, rank, residual).flip(1)
    weights = torch.cat([1 + rising[:, :1] - rising[:, -1:], rising[:, 1:] - rising[:, :-1]], 1)
    # corner k adds k to the coordinates of the d + 1 - k lowest ranks, k - d - 1 to the others
    canonical = rows[:, None] - (d + 1) * (rows[None] > d - rows[:, None]).long()  # (k, rank)
    corners = origin[:, None] * (d + 1) + canonical.T[rank].transpose(1, 2)
    return corners, weights


def _elevation(d: int, like: Tensor) -> Tensor:
    """(D, D + 1), features -> the plane of coordinate sum 0, where a blur has variance 1.

    Interpolation both ways has variance 1/6 and the blur (1, 2, 1) / 4 has 1/2, per direction.
    """
    scale = math.sqrt(1 / 2 + 1 / 6) * (d + 1)
    rows = torch.zeros(d, d + 1, dtype=torch.float64)
    for i in range(d):
        length = scale / math.sqrt((i + 1) * (i + 2))
        rows[i, : i + 1] = length
        rows[i, i + 1] = -(i + 1) * length
    return rows.to(like)


def _pack(corners: Tensor, groups: Tensor | None, *, reach: int) -> tuple[Tensor, Tensor]:
    """One integer for each corner (P, D + 1), and what a step along each direction adds to it."""
    d = corners.shape[-1] - 1
    coordinates = corners[..., :d]  # the last one follows from the others
    if not len(coordinates):
        return coordinates.sum(-1), torch.ones(d + 1, dtype=torch.long, device=corners.device)
    # no corner is further than d from the first; and room on both sides, so that a step never
    # wraps into the next row
    first, room = coordinates[:, 0], (reach + 1) * d
    low = first.amin(0) - room
    sizes = (first.amax(0) + room - low + 1).tolist()
    num_groups = 1 if groups is None else int(groups.max()) + 1
    if math.prod(sizes) * num_groups >= 2**_KEY_BITS:
        raise ValueError(
            f"the lattice must have fewer than 2^{_KEY_BITS} cells, got "
            f"{' x '.join(map(str, sizes))} x {num_groups} groups; "
            "use larger sigmas, fewer bands or smaller tiles"
        )
    radix = torch.tensor([math.prod(sizes[:i]) for i in range(d)], device=corners.device)
    keys = ((coordinates - low) * radix).sum(-1)
    if groups is not None:
        keys = keys + groups[:, None] * math.prod(sizes)
    # a step along direction j: + 1 everywhere, but - d at j
    directions = torch.ones(d + 1, d, dtype=torch.long, device=corners.device)
    directions[:d] -= (d + 1) * torch.eye(d, dtype=torch.long, device=corners.device)
    return keys, (directions * radix).sum(1)


def _with_neighbors(keys: Tensor, steps: Tensor) -> Tensor:
    both = torch.cat([steps, -steps])
    return torch.unique(torch.cat([keys[None], keys + both[:, None]]))


def _find_neighbors(keys: Tensor, steps: Tensor) -> Tensor:
    wanted = keys + torch.stack([steps, -steps], 1)[..., None]  # (D + 1, 2, M)
    place = torch.searchsorted(keys, wanted).clamp_(max=max(len(keys) - 1, 0))
    return torch.where(keys[place] == wanted, place, len(keys)) if len(keys) else place


def _interpolation(index: Tensor, weights: Tensor, num_lattice: int) -> tuple[Tensor, Tensor]:
    """The sparse matrices (M, P) and (P, M) of the barycentric weights."""
    num_points = len(index)
    points = torch.arange(num_points, device=index.device)[:, None].expand_as(index)
    place = torch.stack([index.flatten(), points.flatten()])
    shape = (num_lattice, num_points)
    splat = torch.sparse_coo_tensor(place, weights.flatten(), shape, check_invariants=False)
    splat = splat.coalesce()
    slice_ = splat.t().coalesce()
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if index.device.type == "cpu" and not has_mkl:
        return splat, slice_  # products of compressed rows need MKL; these are slower
    with warnings.catch_warnings():
        # torch calls compressed rows beta; only the product with a dense matrix is used
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return splat.to_sparse_csr(), slice_.to_sparse_csr()
