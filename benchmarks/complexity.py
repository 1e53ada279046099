"""Parameters and multiply-accumulates of the papers' models, beside what the papers print.

    python benchmarks/complexity.py [--sizes 512 1024]

Convolutions and matrix products are counted from the shapes that flow through each built config
on the ``meta`` device: nothing is computed, so 1024 x 1024 fits anywhere.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from torch.utils.flop_counter import FlopCounterMode

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
# config, classes, parameters in M and "FLOPs" in G as printed (arXiv 2305.12691, tables VI, X)
ROWS = [
    ("hrnet_w48", 6, 68.6, 140),
    ("v1", 6, 96.5, 205),
    ("v2", 6, 153.3, 214),
    ("base", 6, 46.5, 139),
    ("funnel", 6, 50.2, None),
    ("ia", 7, 22.3, None),
    ("refinement", 7, 26.0, None),
    ("hrnet_w48_asp_ocr", 7, 75.9, None),
]


# what, config, part of the model (all of it where empty), options, parameters in M as printed
OTHERS = [
    ("RMNet, encoder", "rmnet/rmnet_whdld", "backbone", {}, 23.39),
    ("RMNet, a + b", "rmnet/rmnet_whdld", "", {}, 41.80),
    ("RMNet, a beside b", "rmnet/rmnet_whdld", "", {"model.neck.fusion": "concat"}, 44.95),
    ("ResNet-101, dilated SPP, sub-pixel", "dilated_spp/dilated_spp_potsdam", "", {}, 62.03),
    ("DeepLabV3, ResNet-34", "deeplabv3/deeplabv3_r34_paddy", "", {}, None),
    ("DeepLabV3, ResNet-50", "deeplabv3/deeplabv3_r50_paddy", "", {}, None),
    ("DeepLabV3, ResNet-101", "deeplabv3/deeplabv3_r101_paddy", "", {}, None),
]
# width of HRNet, what IFWM adds to it in k, as printed
IFWM_OVERHEADS = [(18, 60), (32, 107), (48, 160)]


def build(name: str, num_classes: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Backbone and head of a config, without memory."""
    model = Config.fromfile(CONFIGS / "hiresnet" / "ablation" / f"{name}.py").model
    model.decode_head.num_classes = num_classes
    with torch.device("meta"):
        parts = MODELS.build(model.backbone), MODELS.build(model.decode_head)
    for part in parts:
        part.eval()  # MMSeg's HRNet returns None here
    return parts


def count_macs(backbone: torch.nn.Module, head: torch.nn.Module, side: int) -> tuple[float, float]:
    """Giga multiply-accumulates of the convolutions and of the matrix products."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        head(backbone(torch.empty(1, 3, side, side, device="meta")))
    counts = counter.get_flop_counts()["Global"]  # 2 a multiply-accumulate
    convolutions = sum(n for op, n in counts.items() if "convolution" in str(op))
    return convolutions / 2e9, (sum(counts.values()) - convolutions) / 2e9


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    register_all_modules(init_default_scope=True)
    columns = " | ".join(f"GMAC at {s}² (conv + matmul)" for s in args.sizes)
    print(f"| row | params M, paper | params M, built | 'FLOPs' G, paper | {columns} |")
    print("|---|---|---|---|" + "---|" * len(args.sizes))
    for name, num_classes, paper_params, paper_flops in ROWS:
        parts = build(name, num_classes)
        params = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
        counted = " | ".join("{:.1f} + {:.1f}".format(*count_macs(*parts, s)) for s in args.sizes)
        print(f"| {name} | {paper_params} | {params:.3f} | {paper_flops or '-'} | {counted} |")
    print_other_papers()


def print_other_papers() -> None:
    """Parameters of the other papers' models, and what flow warps add to HRNet."""
    print("\n| model | params M, paper | params M, built |\n|---|---|---|")
    for what, name, part, options, printed in OTHERS:
        config = Config.fromfile(CONFIGS / f"{name}.py")
        config.merge_from_dict(options)
        with torch.device("meta"):
            model = MODELS.build(config.model)
        counted = count(getattr(model, part) if part else model)
        print(f"| {what} | {printed or '-'} | {counted / 1e6:.3f} |")
    print("\n| HRNet | IFWM adds k, paper | k, built |\n|---|---|---|")
    for width, printed in IFWM_OVERHEADS:
        backbone = Config.fromfile(CONFIGS / f"ifwm/ifw_hrnet-w{width}_vaihingen.py").model.backbone
        with torch.device("meta"):
            ours = MODELS.build(backbone)
            stock = MODELS.build({**_without(backbone, "variant"), "type": "HRNet"})
        print(f"| W{width} | {printed} | {(count(ours) - count(stock)) / 1e3:.1f} |")


def count(module: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def _without(config: dict, key: str) -> dict:
    return {k: v for k, v in config.items() if k != key}


if __name__ == "__main__":
    main()
