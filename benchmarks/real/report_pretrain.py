"""What pre-training gained: ``python -m benchmarks.real.report_pretrain``.

Fills the block between the markers in ``configs/pretrain/README.md`` from the results of
``benchmarks.real.pretrain``.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, t

from benchmarks.real.pretrain import DATASETS, RATIOS, RESULTS, row_name
from benchmarks.real.report import Scores, fill, percent, read_rows

PAGE = Path(__file__).resolve().parents[2] / "configs" / "pretrain" / "README.md"
KNN_LABELS = {
    "moco": "pre-trained",
    "random": "random weights",
    "moco_calibrated": "pre-trained, BatchNorm's statistics from these pictures",
    "random_calibrated": "random weights, BatchNorm's statistics from these pictures",
}


def gains(moco: Scores, none: Scores) -> tuple[list[int], np.ndarray]:
    """The seeds that both have, and what pre-training gained at each, in points of mIoU."""
    first, second = ({run["settings"]["seed"]: run["miou"] for run in s.runs} for s in (moco, none))
    seeds = sorted(first.keys() & second.keys())
    return seeds, np.array([100 * (first[seed] - second[seed]) for seed in seeds])


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t; endless for one value."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, -np.inf, np.inf
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def said(values: np.ndarray) -> str:
    """Each seed's gain, their mean and its interval, and whether that interval holds 0."""
    if not len(values):
        return "no seed has both"
    each = ", ".join(f"{value:+.1f}" for value in values)
    mean, low, high = mean_interval(values)
    if not np.isfinite(low):
        return f"{each}: one seed says nothing"
    verdict = "**gain**" if low > 0 else "**loss**" if high < 0 else "not told apart from none"
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f}; {each}): {verdict}"


def fine_tuning_table(results: Path, dataset: str) -> str:
    """One Markdown table; empty without a finished run."""
    head = ["labels", "backbone", "iterations", "mIoU, % (mean ± std, range)"]
    head += ["against random weights, points", "against these, all trained"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    budgets, seeds_seen = set(), set()
    folder = results / dataset / "pretrain"
    for ratio, frozen in product(RATIOS, (False, True)):
        rows = {
            arm: read_rows(folder, [row_name(arm, ratio, frozen=frozen)])
            for arm in ("none", "moco")
        }
        trained = read_rows(folder, [row_name("none", ratio, frozen=False)])
        for arm, found in rows.items():
            if not found:
                continue
            runs = found[0].runs
            budgets |= {run["settings"]["budget_s"] for run in runs}
            seeds_seen |= {run["settings"]["seed"] for run in runs}
            both = arm == "moco" and rows["none"]
            cells = [
                f"{runs[0]['num_labelled']} pictures ({100 * ratio:g} %)",
                ("MoCo v2" if arm == "moco" else "random") + (", frozen" if frozen else ""),
                f"{np.mean([run['iterations'] for run in runs]):.0f}",
                percent(found[0].miou),
                said(gains(found[0], rows["none"][0])[1]) if both else "",
                said(gains(found[0], trained[0])[1]) if both and frozen and trained else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    if not budgets:
        return ""
    spent = " and ".join(f"{budget:.0f}" for budget in sorted(budgets))
    return f"**{dataset}**: {spent} CPU s a run, seeds {sorted(seeds_seen)}.\n\n" + (
        "\n".join(lines) + "\n"
    )


def knn_table(found: list[dict[str, Any]]) -> str:
    """Accuracies with intervals, and each against the pre-trained encoder's, in pairs.

    Args:
        found: One result for each seed.
    """
    head = ["features", "accuracy, % (95 % interval)", "only these right / only pre-trained, p"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for kind, label in KNN_LABELS.items():
        for seed, one in enumerate(found):
            trained = kind.replace("random", "moco")
            against = "" if kind == trained else discordant(one["rows"], kind, trained)
            lines.append(f"| {label}, seed {seed} | {share(one['rows'][kind])} | {against} |")
    against = ", ".join(discordant(one["rows"], "histograms", "moco") for one in found)
    bins = "colour histograms, 8 x 8 x 8 bins"
    lines.append(f"| {bins} | {share(found[0]['rows']['histograms'])} | {against} |")
    title = (
        f"**Nearest neighbours**: leave-one-out, k = {found[0]['k']}, {found[0]['num_pictures']} "
        f"pictures of {len(found[0]['classes'])} classes.\n\n"
    )
    return title + "\n".join(lines) + "\n"


def share(row: dict[str, Any]) -> str:
    """An accuracy and its interval, in per cent."""
    return f"{100 * row['accuracy']:.0f} ({100 * row['low']:.0f} to {100 * row['high']:.0f})"


def discordant(rows: dict[str, Any], one: str, other: str) -> str:
    """Pictures that only the one or only the other tells right, and McNemar's exact p."""
    ours, theirs = rows[one]["right"], rows[other]["right"]
    only_ours = sum(a > b for a, b in zip(ours, theirs, strict=True))
    only_theirs = sum(a < b for a, b in zip(ours, theirs, strict=True))
    count = only_ours + only_theirs
    p = binomtest(only_ours, count).pvalue if count else 1.0
    return f"{only_ours} / {only_theirs}, {p:.2f}"


def moco_text(found: list[dict[str, Any]]) -> str:
    """What was pre-trained on, for how long, and the curves' means over the seeds."""
    first = found[0]
    settings = first["settings"]
    pictures = ", ".join(f"{count} of {name}" for name, count in first["pictures"].items())
    head = ["steps", "loss", "top-1, %", "top-5, %", "spread"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for points in zip(*(one["curve"] for one in found), strict=True):
        mean = {name: np.mean([point[name] for point in points]) for name in points[0]}
        cells = [str(points[0]["iterations"]), f"{mean['loss']:.2f}"]
        cells += [f"{mean[name]:.1f}" for name in ("top1", "top5")]
        lines.append("| " + " | ".join([*cells, f"{mean['spread']:.2f}"]) + " |")
    spent = ", ".join(f"{one['train_cpu_s']:.0f}" for one in found)
    title = (
        f"**Pre-training**, {len(found)} seeds: {first['num_windows']} windows of "
        f"{sum(first['pictures'].values())} pictures ({pictures}), {first['iterations']} steps of "
        f"{settings['batch_size']} = {first['epochs']:.0f} epochs, {spent} CPU s, views of "
        f"{settings['crop_px']} px, queue of {settings['queue_len']}, m = "
        f"{settings['key_momentum']:g}.  Means over the seeds:\n\n"
    )
    return title + "\n".join(lines) + "\n"


def discrimination_text(found: list[dict[str, Any]]) -> str:
    """How well views are told apart after training, by the encoder alone."""
    parts = []
    for arm, label in (("moco", "after pre-training"), ("random", "with random weights")):
        tops = [", ".join(f"{one[arm][name]:.1f}" for one in found) for name in ("top1", "top5")]
        parts.append(f"{label} top-1 {tops[0]} %, top-5 {tops[1]} %")
    count = found[0]["moco"]["num_views"]
    chance = f"chance {100 / count:.2f} and {500 / count:.2f} %"
    return (
        f"**Views told apart**, new ones, by the encoder alone, among {count} windows, each seed: "
        f"{'; '.join(parts)}; {chance}.\n"
    )


def drift_text(found: dict[str, Any]) -> str:
    """Whether queries find their keys because the others are older."""
    queue, anew = (found["top1_top5"][name] for name in ("queue", "anew"))
    settings = found["settings"]
    return (
        f"**Old keys**, m = {settings['key_momentum']:g}, rate {settings['lr']:g}: top-1 / top-5 "
        f"{queue[0]:.1f} / {queue[1]:.1f} % among the queue, {anew[0]:.1f} / {anew[1]:.1f} % among "
        f"the same views encoded anew ({found['num_queries']} queries).\n"
    )


def report(results: Path = RESULTS, page: Path = PAGE) -> str:
    """Fill the page from whatever is finished; the text."""
    blocks = []
    for name, text in (
        ("moco", moco_text),
        ("discrimination", discrimination_text),
        ("knn", knn_table),
    ):
        paths = sorted((results / "pretrain").glob(f"{name}-seed*.json"))
        if paths:
            blocks.append(text([json.loads(path.read_text()) for path in paths]))
    for path in sorted((results / "pretrain").glob("drift-*.json")):
        blocks.append(drift_text(json.loads(path.read_text())))
    blocks += [text for dataset in DATASETS if (text := fine_tuning_table(results, dataset))]
    text = "\n".join(blocks)
    if page.is_file() and text:
        fill(page, text)
    return text


if __name__ == "__main__":
    print(report())
