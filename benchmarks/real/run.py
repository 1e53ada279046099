"""Real input, reproduced by one command.

``python -m benchmarks.real.run --data DIR --experiment peers`` trains a small Hi-ResNet and two
stock MMSeg models for equal CPU seconds; ``controls`` exchanges their losses; ``modules`` and
``losses`` are Hi-ResNet's ablations at that size; ``rmnet``, ``ifwm``, ``dilated_spp`` and
``deeplabv3`` are those of the other papers; ``rates`` is the short sweep that gave every model its
learning rate.  Each finished run leaves one JSON file, and a run whose file is there with the same
settings is skipped, so an interrupted command is simply given again.  ``benchmarks.real.report``
makes tables and charts.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# by experiment; the first two papers' experiments go where their own data come nearest
DATASETS = {
    **dict.fromkeys(
        ("peers", "controls", "modules", "losses", "rates"), ("cloud_shadow", "googlemap_landcover")
    ),
    "rmnet": ("googlemap_landcover", "cloud_shadow"),
    "ifwm": ("oam_buildings", "googlemap_landcover"),
    "dilated_spp": ("googlemap_landcover", "cloud_shadow"),
    "deeplabv3": ("oam_buildings", "cloud_shadow"),
}
ALL_DATASETS = ("cloud_shadow", "googlemap_landcover", "oam_buildings")
RATES = (1e-3, 3e-3, 1e-2)
# peak rates by the sweep of `rates` (docs/real_input.md)
PEAK_RATE = {
    "hiresnet": 3e-3,
    "fcn_hrnet": 3e-3,
    "unet": 1e-2,
    "modules": 3e-3,
    "losses": 3e-3,
    "controls": 3e-3,
    "rmnet": 1e-2,
    "ifwm": 1e-3,
    "dilated_spp": 1e-2,
    "deeplabv3": 1e-2,
}
PAPER_BUDGET_S = 80.0
BUDGET_S = {
    **{"peers": 100.0, "modules": 80.0, "losses": 60.0, "controls": 100.0, "rates": 40.0},
    **dict.fromkeys(("rmnet", "ifwm", "dilated_spp", "deeplabv3"), PAPER_BUDGET_S),
}
NUM_EVALUATIONS = {"peers": 6, "controls": 6, "rates": 2}  # 4 elsewhere
PACKAGES = ("torch", "onedl-mmengine", "onedl-mmcv", "onedl-mmsegmentation", "numpy")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--experiment", choices=tuple(BUDGET_S), required=True)
    parser.add_argument("--datasets", nargs="+", choices=ALL_DATASETS)
    parser.add_argument("--models", nargs="+", help="only these rows of the experiment")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES), help="of `rates`")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", type=float, help="CPU seconds of training a run")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128, help="side of a training crop, in pixels")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def plan(args: argparse.Namespace) -> list[tuple[Path, dict]]:
    """Result file and settings of every run, interleaved: for seed, for data set, for model."""
    from benchmarks.real.models import PAPERS, PEERS, rows_of

    experiment = args.experiment
    # a seed that no reported run has
    seeds = [100] if experiment == "rates" else args.seeds
    runs = []
    for seed in seeds:
        for dataset in args.datasets or DATASETS[experiment]:
            for row in args.models or rows_of(experiment):
                # the sweep of rates takes any model by its full name
                named = row in PEERS or experiment == "rates"
                model = row if named and experiment not in PAPERS else f"{experiment}/{row}"
                rates = args.rates if experiment == "rates" else (PEAK_RATE[model.split("/")[0]],)
                for lr in rates:
                    stem = f"{row.replace('/', '_')}-lr{lr:g}" if experiment == "rates" else row
                    settings = {
                        "dataset": dataset,
                        "model": model,
                        "seed": seed,
                        "budget_s": args.budget or BUDGET_S[experiment],
                        "lr": lr,
                        "batch_size": args.batch_size,
                        "crop_px": args.crop,
                        "num_evaluations": NUM_EVALUATIONS.get(experiment, 4),
                    }
                    name = f"{stem}-seed{seed}.json"
                    runs.append((args.out / dataset / experiment / name, settings))
    return runs


def fingerprint(settings: dict) -> str:
    """Short hash of everything that decides a run: settings, model config, split."""
    from benchmarks.real.data import CLASSES, read_split
    from benchmarks.real.models import config_of, extras_of
    from benchmarks.real.train import Settings

    dataset = settings["dataset"]
    content = {
        "settings": asdict(Settings(**settings)),
        "config": config_of(settings["model"], len(CLASSES[dataset])),
        "split": read_split(dataset),
        **extras_of(settings["model"]),
    }
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_finished(path: Path, settings: dict) -> bool:
    """Whether a result with the same fingerprint is there."""
    if not path.is_file():
        return False
    try:
        return json.loads(path.read_text()).get("fingerprint") == fingerprint(settings)
    except json.JSONDecodeError:
        return False


def environment() -> dict:
    """Versions, processor and commit that a figure belongs to."""
    root = Path(__file__).resolve().parents[2]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "threads": 1,
        "commit": commit.stdout.strip() or None,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_one(root: Path, where: dict, path: Path, settings: dict) -> str:
    """Train one model in this process and write its result; one line about it.

    Args:
        root: Folder of the data sets.
        where: ``environment()`` at the start of the command: workers keep the code they loaded.
        path: File of the result.
        settings: Arguments of ``train.Settings``.
    """
    import logging

    logging.disable(logging.INFO)  # MMEngine tells the initialisation of every tensor
    import cv2
    import torch

    from benchmarks.real.data import load_split
    from benchmarks.real.train import Settings, train

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    train_set, val_set = load_split(root, settings["dataset"])
    load = os.getloadavg()[0]
    result = train(Settings(**settings), train_set, val_set)
    result["fingerprint"] = fingerprint(settings)
    result["environment"] = where
    result["load_average"] = [round(load, 2), round(os.getloadavg()[0], 2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(partial, path)
    return (
        f"{settings['dataset']} {settings['model']} lr {settings['lr']:g} seed {settings['seed']}: "
        f"mIoU {result['miou']:.4f} IoU {[round(x, 3) for x in result['iou']]} "
        f"{result['parameters']} params, {result['iterations']} it, "
        f"{result['images_per_cpu_s']} images/s, {result['wall_s']} s wall"
    )


def _guarded(job: tuple[Path, dict, Path, dict]) -> tuple[bool, str]:
    try:
        return True, run_one(*job)
    except Exception:  # one failed run must not take the others along
        return False, traceback.format_exc()


def main() -> int:
    """Run what is not finished yet; 1 if a run failed."""
    args = parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # before the workers import torch
    if not args.data.is_dir():
        print(
            f"error: {args.data}: no such folder. Fix: give the data sets' folder", file=sys.stderr
        )
        return 1
    runs = plan(args)
    todo = [run for run in runs if not is_finished(*run)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} finished before", flush=True)
    failed = 0
    context = multiprocessing.get_context("spawn")
    with context.Pool(args.jobs) as pool:
        where = environment()
        jobs = [(args.data, where, *run) for run in todo]
        for done, (ok, line) in enumerate(pool.imap_unordered(_guarded, jobs), start=1):
            failed += not ok
            print(f"[{done}/{len(jobs)}] {time.strftime('%H:%M:%S')} {line}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
