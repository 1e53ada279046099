"""IFWM's module ablation at CPU size: the narrow HRNet peer, with each flow module inside."""

from __future__ import annotations

from benchmarks.real.models import fcn_hrnet

ROWS = {
    "hrnet": "HRNet",
    "sf": "HRNet + SF (concatenation, 3 x 3)",
    "lsf": "HRNet + LSF (concatenation, k x k)",
    "rifw": "HRNet + RIFW (3 x 3 + k x k)",
    "ifwm": "HRNet + IFWM (1 x 1 + k x k)",
}


def config_of(row: str, num_classes: int) -> dict:
    """The segmentor of one of ``ROWS``; they differ in the upward paths of HRNet alone."""
    if row not in ROWS:
        raise ValueError(f"row must be one of {sorted(ROWS)}, got {row!r}")
    config = fcn_hrnet(num_classes)
    if row != "hrnet":
        config["backbone"].update(type="mmrs.IFWHRNet", variant=row)
    return config
