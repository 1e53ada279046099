"""What pre-training gained: ``python -m benchmarks.real.report_pretrain``.

Fills the block between the markers in ``configs/pretrain/README.md`` from the results of
``benchmarks.real.pretrain``.
"""

from __future__ import annotations

import json
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
    "histograms": "colour histograms, 8 x 8 x 8 bins",
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
    head = ["labels", "start", "iterations", "mIoU, % (mean ± std, range)", "gain, points"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    budgets, seeds_seen = set(), set()
    for ratio in RATIOS:
        rows = {
            arm: read_rows(results / dataset / "pretrain", [row_name(arm, ratio)])
            for arm in ("none", "moco")
        }
        for arm, found in rows.items():
            if not found:
                continue
            runs = found[0].runs
            budgets |= {run["settings"]["budget_s"] for run in runs}
            seeds_seen |= {run["settings"]["seed"] for run in runs}
            both = arm == "moco" and rows["none"]
            cells = [
                f"{runs[0]['num_labelled']} pictures ({100 * ratio:g} %)",
                "MoCo v2" if arm == "moco" else "random",
                f"{np.mean([run['iterations'] for run in runs]):.0f}",
                percent(found[0].miou),
                said(gains(found[0], rows["none"][0])[1]) if both else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    if not budgets:
        return ""
    spent = " and ".join(f"{budget:.0f}" for budget in sorted(budgets))
    return f"**{dataset}**: {spent} CPU s a run, seeds {sorted(seeds_seen)}.\n\n" + (
        "\n".join(lines) + "\n"
    )


def knn_table(found: dict[str, Any]) -> str:
    """Accuracies with intervals, and each against the pre-trained encoder's, in pairs."""
    rows = found["rows"]
    head = ["features", "accuracy, % (95 % interval)", "only these right / only pre-trained, p"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for kind, label in KNN_LABELS.items():
        for name in sorted(n for n in rows if n.partition("-seed")[0] == kind):
            seed = name.partition("-seed")[2]
            row = rows[name]
            cells = [
                f"{label}, seed {seed}" if seed else label,
                f"{100 * row['accuracy']:.0f} ({100 * row['low']:.0f} to {100 * row['high']:.0f})",
                "" if kind.startswith("moco") else discordant(row["right"], rows["moco"]["right"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    title = (
        f"**Nearest neighbours**: leave-one-out, k = {found['k']}, {found['num_pictures']} "
        f"pictures of {len(found['classes'])} classes.\n\n"
    )
    return title + "\n".join(lines) + "\n"


def discordant(ours: list[int], theirs: list[int]) -> str:
    """Pictures that only the one or only the other tells right, and McNemar's exact p."""
    only_ours = sum(a > b for a, b in zip(ours, theirs, strict=True))
    only_theirs = sum(a < b for a, b in zip(ours, theirs, strict=True))
    count = only_ours + only_theirs
    p = binomtest(only_ours, count).pvalue if count else 1.0
    return f"{only_ours} / {only_theirs}, {p:.2f}"


def moco_text(found: dict[str, Any]) -> str:
    """What was pre-trained on, for how long, and its curve."""
    settings, curve = found["settings"], found["curve"]
    pictures = ", ".join(f"{count} of {name}" for name, count in found["pictures"].items())
    head = ["CPU s", "iterations", "loss", "top-1, %", "top-5, %", "spread"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for point in [*curve[:: max(1, len(curve) // 5)][:5], curve[-1]]:
        cells = [f"{point['cpu_s']:.0f}", str(point["iterations"]), f"{point['loss']:.2f}"]
        cells += [f"{point[name]:.1f}" for name in ("top1", "top5")]
        lines.append("| " + " | ".join([*cells, f"{point['spread']:.2f}"]) + " |")
    title = (
        f"**Pre-training**: {found['num_pictures']} pictures ({pictures}), "
        f"{found['train_cpu_s']:.0f} CPU s, {found['iterations']} steps of "
        f"{settings['batch_size']} = {found['epochs']:.0f} epochs, views of "
        f"{settings['crop_px']} px, queue of {settings['queue_len']}.\n\n"
    )
    return title + "\n".join(lines) + "\n"


def discrimination_text(found: dict[str, Any]) -> str:
    """How well views are told apart after training, by the encoder alone."""
    parts = []
    for arm, label in (("moco", "after pre-training"), ("random", "with random weights")):
        tops = found[arm]
        parts.append(f"top-1 / top-5 {tops['top1']:.1f} / {tops['top5']:.1f} % {label}")
    count = found["moco"]["num_views"]
    chance = f"chance {100 / count:.1f} / {500 / count:.1f} %"
    return (
        f"**Views told apart**, new ones, by the encoder alone, among {count} pictures: "
        f"{', '.join(parts)}, {chance}.\n"
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
    tables = {"moco": moco_text, "discrimination": discrimination_text, "knn": knn_table}
    drifts = sorted(path.stem for path in (results / "pretrain").glob("drift-*.json"))
    tables |= dict.fromkeys(drifts, drift_text)
    for name, table in tables.items():
        path = results / "pretrain" / f"{name}.json"
        if path.is_file():
            blocks.append(table(json.loads(path.read_text())))
    blocks += [text for dataset in DATASETS if (text := fine_tuning_table(results, dataset))]
    text = "\n".join(blocks)
    if page.is_file() and text:
        fill(page, text)
    return text


if __name__ == "__main__":
    print(report())
