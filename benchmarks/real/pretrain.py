"""The gain of pre-training, reproduced by one command.

``OMP_NUM_THREADS=1 python -m benchmarks.real.pretrain --data DIR`` pre-trains the small Hi-ResNet
by MoCo v2 on real pictures without labels (the scene set, and of the segmentation sets the training
pictures alone), converts the checkpoint, asks nearest neighbours what its features tell of the
scene set's classes, and fine-tunes with all labels and with a tenth, from these weights and from
random ones: equal CPU seconds, the same seeds, pictures, batches and initial head.  There are
fewer pre-trainings than fine-tunings, so they take turns.  Results are JSON files; what is finished
is skipped, and an interrupted pre-training goes on.  ``benchmarks.real.report_pretrain`` makes the
table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATASETS = ("googlemap_landcover", "cloud_shadow")
RATIOS = (1.0, 0.1)
ARMS = ("none", "moco")
PEAK_RATE = 3e-3  # that of `hiresnet` in benchmarks.real.run, chosen without pre-training
NUM_EVALUATIONS = 3


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--ratios", nargs="+", type=float, default=list(RATIOS), help="of labels")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4, 5])
    parser.add_argument(
        "--frozen-seeds",
        nargs="*",
        type=int,
        default=[0, 1, 2, 3, 4, 5],
        help="with the backbone frozen",
    )
    parser.add_argument("--pretrainings", type=int, default=3, help="they take turns")
    parser.add_argument("--pretrain-steps", type=int, default=3600)
    parser.add_argument("--budget", type=float, default=45.0, help="CPU seconds of a fine-tuning")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/real_pretrain"))
    return parser.parse_args(argv)


def row_name(arm: str, ratio: float, *, frozen: bool) -> str:
    """Row of the result files, such as ``moco_10``: the arm and the per cent of labels."""
    return f"{arm}{'_frozen' if frozen else ''}_{100 * ratio:g}"


def plan(args: argparse.Namespace) -> list[tuple[Path, dict[str, Any], str, float, bool]]:
    """File, settings, arm, ratio of labels, whether the backbone is frozen; the arms take turns."""
    return [
        (
            args.out
            / dataset
            / "pretrain"
            / f"{row_name(arm, ratio, frozen=frozen)}-seed{seed}.json",
            {
                "dataset": dataset,
                "model": "hiresnet",
                "seed": seed,
                "budget_s": args.budget,
                "lr": PEAK_RATE,
                "num_evaluations": NUM_EVALUATIONS,
            },
            arm,
            ratio,
            frozen,
        )
        for frozen, seeds in ((False, args.seeds), (True, args.frozen_seeds))
        for dataset in args.datasets
        for seed in seeds
        for ratio in args.ratios
        for arm in ARMS
    ]


def digest(content: Any) -> str:
    """Short hash of what decides a run."""
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def once(path: Path, decides: Any, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in a file, or of a run where there is none or something else decided it."""
    from benchmarks.real.run import environment

    fingerprint = digest(decides)
    try:
        found = json.loads(path.read_text())
        if found.get("fingerprint") == fingerprint:
            return found
    except (OSError, json.JSONDecodeError):
        pass
    where, load = environment(), os.getloadavg()[0]
    result = {"fingerprint": fingerprint, "environment": where, **run()}
    result["load_average"] = [round(load, 2), round(os.getloadavg()[0], 2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(partial, path)
    return result


def pretrained_weights(args: argparse.Namespace, seed: int) -> tuple[Path, str]:
    """Pre-train, convert and look; the backbone's weights and the digest of their tensors."""
    from mmengine.config import Config

    from benchmarks.real.models import config_of
    from benchmarks.real.pretrain_data import unlabelled_paths, unlabelled_windows
    from benchmarks.real.pretrain_moco import MoCoSettings, compare_discrimination, pretrain
    from mmrs.apis.convert_weights import convert_weights

    settings = MoCoSettings(num_steps=args.pretrain_steps, seed=seed)
    names = [str(path.relative_to(args.data)) for path, _ in unlabelled_paths(args.data)]
    checkpoint, weights = (
        args.work_dir / f"moco-seed{seed}{end}" for end in (".pth", ".safetensors")
    )
    result = args.out / "pretrain" / f"moco-seed{seed}.json"
    if not checkpoint.is_file():
        result.unlink(missing_ok=True)  # weights are not committed, results are
    counts = Counter(name.partition("/")[0] for name in names)

    once(
        result,
        {"settings": asdict(settings), "names": names},
        lambda: {
            "pictures": dict(counts),
            **pretrain(settings, unlabelled_windows(args.data), checkpoint),
        },
    )
    backbone = Config({"model": {"backbone": config_of("hiresnet", 2)["backbone"]}})
    facts = convert_weights(checkpoint, weights, backbone_config=backbone).facts
    sha256 = str(facts["tensors_sha256"])
    once(
        args.out / "pretrain" / f"discrimination-seed{seed}.json",
        {"weights": sha256, "settings": asdict(settings)},
        lambda: compare_discrimination(settings, unlabelled_windows(args.data), checkpoint),
    )
    return weights, sha256


def fine_tune(
    root: Path, settings: dict[str, Any], ratio: float, weights: Path | None, *, frozen: bool
) -> dict[str, Any]:
    """One fine-tuning, on the part of the labels that its seed draws."""
    from benchmarks.real.data import Subset, load_split
    from benchmarks.real.pretrain_data import few_names
    from benchmarks.real.train import Settings, train

    train_set, val_set = load_split(root, settings["dataset"])
    names = few_names(settings["dataset"], ratio, settings["seed"])
    chosen = [train_set.names.index(name) for name in names]
    few = Subset(names, train_set.images[chosen], train_set.masks[chosen])
    result = train(Settings(**settings), few, val_set, weights, frozen=frozen)
    return {"num_labelled": len(names), "frozen": frozen, **result}


def main() -> int:
    """Run what is not finished yet."""
    args = parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if not args.data.is_dir():
        fix = "Fix: give the data sets' folder"
        print(f"error: {args.data}: no such folder. {fix}", file=sys.stderr)
        return 1
    import logging

    import cv2
    import torch

    from benchmarks.real.pretrain_data import few_names, load_scenes
    from benchmarks.real.pretrain_knn import measure

    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    own = {seed: seed % args.pretrainings for seed in (*args.seeds, *args.frozen_seeds)}
    starts = {seed: pretrained_weights(args, seed) for seed in sorted(set(own.values()))}
    for seed, (weights, sha256) in starts.items():
        found = once(
            args.out / "pretrain" / f"knn-seed{seed}.json",
            {"weights": sha256, "seed": seed},
            lambda s=seed, w=weights: measure(load_scenes(args.data), w, s),
        )
        for name, row in found["rows"].items():
            told = f"{row['accuracy']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
            print(f"seed {seed}, {name}: {told}", flush=True)
    for path, settings, arm, ratio, frozen in plan(args):
        weights, sha256 = starts[own[settings["seed"]]] if arm == "moco" else (None, None)
        names = few_names(settings["dataset"], ratio, settings["seed"])
        run = once(
            path,
            [settings, names, sha256, *(["frozen"] if frozen else [])],
            lambda s=settings, r=ratio, w=weights, f=frozen: fine_tune(
                args.data, s, r, w, frozen=f
            ),
        )
        print(f"{path.parent.parent.name} {path.stem}: mIoU {run['miou']:.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
