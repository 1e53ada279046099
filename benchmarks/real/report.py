"""Tables and charts of the finished runs: ``python -m benchmarks.real.report``.

Writes the block between the two markers in ``docs/real_input.md``, the charts beside it, and the
same for every other paper in ``configs/<paper>/README.md`` (``benchmarks.real.report_papers``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.real.models import LOSS_ROWS, MODULE_ROWS, PEERS, paper
from benchmarks.real.run import DATASETS, RESULTS

DOC = Path(__file__).resolve().parents[2] / "docs" / "real_input.md"
START, END = "<!-- results: start -->", "<!-- results: end -->"
# pairs under one loss: the joint loss, then cross-entropy
CONTROL_ROWS = ("hiresnet", "fcn_hrnet_joint", "hiresnet_ce", "fcn_hrnet")
ROWS = {
    "peers": PEERS,
    "controls": CONTROL_ROWS,
    "modules": MODULE_ROWS,
    "losses": tuple(LOSS_ROWS),
}
REFERENCE = {"peers": "hiresnet", "losses": "softmax"}
LABELS = {
    "hiresnet": "Hi-ResNet (ours)",
    "fcn_hrnet": "FCN-HRNet",
    "unet": "U-Net",
    "hiresnet_ce": "Hi-ResNet, cross-entropy",
    "fcn_hrnet_joint": "FCN-HRNet, joint loss",
    "base": "base",
    "funnel": "+ funnel",
    "ia": "+ IA blocks",
    "refinement": "+ refinement",
    "cea": "+ CEA loss",
    "softmax": "softmax of 1, 1, 0.4; coarse 1 : refined 1",
    "fixed_1_1_1": "1 : 1 : 1",
    "fixed_1_1_0.4": "1 : 1 : 0.4",
    "random": "random weighting",
    "coarse_1_refined_0.4": "softmax; coarse 1 : refined 0.4",
    "coarse_0.4_refined_1": "softmax; coarse 0.4 : refined 1",
}
COLOURS = {"hiresnet": "#0072B2", "fcn_hrnet": "#D55E00", "unet": "#009E73"}


@dataclass(frozen=True)
class Scores:
    """The runs of one row over its seeds."""

    row: str
    runs: list[dict]

    @property
    def miou(self) -> np.ndarray:
        """Final mIoU of each seed, in [0, 1]."""
        return np.array([run["miou"] for run in self.runs])

    @property
    def spread(self) -> float:
        """Largest minus smallest mIoU over the seeds."""
        return float(self.miou.max() - self.miou.min())


def read(results: Path, dataset: str, experiment: str) -> list[Scores]:
    """Finished runs of an experiment, by row, in the order of the experiment."""
    folder = results / dataset
    if not (folder / experiment).is_dir():
        return []
    rows = [
        read_rows(folder / ("peers" if row in PEERS else experiment), [row])
        for row in ROWS[experiment]
    ]
    return [scores for found in rows for scores in found]


def read_rows(folder: Path, rows: Iterable[str]) -> list[Scores]:
    """Finished runs of the given rows, rows without one left out."""
    found = []
    for row in rows:
        runs = [json.loads(p.read_text()) for p in sorted(folder.glob(f"{row}-seed*.json"))]
        if runs:
            found.append(Scores(row, runs))
    return found


def verdict(ours: Scores, other: Scores) -> str:
    """What the runs say about two rows: a gap below the larger spread over seeds is none."""
    gap = float(ours.miou.mean() - other.miou.mean())
    spread = max(ours.spread, other.spread)
    if min(len(ours.runs), len(other.runs)) < 2:
        return "one seed: says nothing"
    said = "no difference" if abs(gap) <= spread else ("better" if gap > 0 else "worse")
    return f"{said} (gap {100 * gap:+.1f}, spread {100 * spread:.1f})"


def percent(values: np.ndarray) -> str:
    """Mean, standard deviation over seeds, and range, in percent."""
    mean, low, high = 100 * values.mean(), 100 * values.min(), 100 * values.max()
    if len(values) == 1:
        return f"{mean:.1f} (one seed)"
    deviation = 100 * values.std(ddof=1)
    return f"{mean:.1f} ± {deviation:.1f} ({low:.1f} to {high:.1f})"


def table(dataset: str, experiment: str, rows: list[Scores]) -> str:
    """One Markdown table."""
    first = rows[0].runs[0]
    classes = first["classes"]
    head = ["", "params", "images / CPU s", "iterations", "mIoU, % (mean ± std, range)", *classes]
    lines = ["| " + " | ".join([*head, "verdict"]) + " |", "|" + "---|" * (len(head) + 1)]
    for i, scores in enumerate(rows):
        runs = scores.runs
        iou = np.nanmean([run["iou"] for run in runs], axis=0)
        cells = [
            LABELS[scores.row],
            f"{runs[0]['parameters'] / 1e6:.3f} M",
            f"{np.mean([run['images_per_cpu_s'] for run in runs]):.1f}",
            f"{np.mean([run['iterations'] for run in runs]):.0f}",
            percent(scores.miou),
            *(f"{100 * x:.1f}" for x in iou),
            _verdict_cell(experiment, rows, i),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = sorted({run["settings"]["seed"] for s in rows for run in s.runs})
    budget = first["settings"]["budget_s"]
    title = f"**{dataset}, {experiment}**: {budget:.0f} CPU s a run, seeds {seeds}.\n\n"
    return title + "\n".join(lines) + "\n"


def rates_table(results: Path) -> str:
    """Markdown table of the sweep of learning rates; empty without one.

    The peers first, then a model of every other paper, each on the data sets it was swept on.
    """
    scores: dict[tuple[str, str], dict[float, float]] = {}
    budget = 0.0
    for path in sorted(results.glob("*/rates/*.json")):
        run = json.loads(path.read_text())
        settings = run["settings"]
        budget = settings["budget_s"]
        of_rate = scores.setdefault((settings["model"], settings["dataset"]), {})
        of_rate[settings["lr"]] = 100 * run["miou"]
    if not scores:
        return ""
    rates = sorted({rate for of_rate in scores.values() for rate in of_rate})
    lines = ["| model | data set | " + " | ".join(f"{rate:g}" for rate in rates) + " |"]
    lines.append("|" + "---|" * (len(rates) + 2))
    for model, dataset in sorted(scores, key=lambda key: (key[0] not in PEERS, *key)):
        of_rate = scores[model, dataset]
        cells = [f"{of_rate[rate]:.1f}" if rate in of_rate else "" for rate in rates]
        label = LABELS.get(model) or _paper_label(model)
        lines.append(f"| {label} | {dataset} | " + " | ".join(cells) + " |")
    title = f"**Peak learning rates**: mIoU, % after {budget:.0f} CPU s, one seed.\n\n"
    return title + "\n".join(lines) + "\n"


def _paper_label(model: str) -> str:
    name, _, row = model.partition("/")
    return f"{name}: {paper(name).ROWS[row]}"


def _verdict_cell(experiment: str, rows: list[Scores], i: int) -> str:
    if experiment == "controls":  # under the same loss
        row = rows[i].row
        if i == 0 or "hiresnet" in row:
            return ""
        return "Hi-ResNet is: " + verdict(rows[i - 1], rows[i])
    if experiment == "modules":  # each row against the one before it
        return "" if i == 0 else verdict(rows[i], rows[i - 1])
    reference = next((s for s in rows if s.row == REFERENCE[experiment]), None)
    if reference is None or rows[i] is reference:
        return ""
    if experiment == "peers":
        return "Hi-ResNet is: " + verdict(reference, rows[i])
    return verdict(rows[i], reference)


def draw_curves(by_dataset: dict[str, list[Scores]], path: Path) -> None:
    """Learning curves of the peers: mean over seeds, and their range as a band."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(by_dataset), figsize=(4.6 * len(by_dataset), 3.4))
    for ax, (dataset, rows) in zip(np.atleast_1d(axes), by_dataset.items(), strict=True):
        for scores in rows:
            seconds = np.mean([[p["cpu_s"] for p in run["curve"]] for run in scores.runs], axis=0)
            miou = 100 * np.array([[p["miou"] for p in run["curve"]] for run in scores.runs])
            colour = COLOURS[scores.row]
            ax.plot(seconds, miou.mean(0), color=colour, lw=2, marker="o", ms=3)
            ax.fill_between(seconds, miou.min(0), miou.max(0), color=colour, alpha=0.15, lw=0)
            ax.plot([], [], color=colour, lw=2, label=LABELS[scores.row])
        ax.set_title(dataset, loc="left", fontsize=10)
        ax.set_xlabel("CPU seconds of training")
        ax.set_ylabel("mIoU on unseen scenes, %")
        ax.legend(frameon=False, fontsize=8, loc="lower right")
    _save(figure, path)


def draw_rows(
    experiment: str,
    by_dataset: dict[str, list[Scores]],
    path: Path,
    labels: Mapping[str, str] = LABELS,
) -> None:
    """Every seed as a dot and the mean as a line, row by row."""
    plt = _pyplot()
    height = 0.9 + 0.42 * max(len(rows) for rows in by_dataset.values())
    figure, axes = plt.subplots(
        1, len(by_dataset), figsize=(6.4 * len(by_dataset), height), squeeze=False
    )
    for ax, (dataset, rows) in zip(axes[0], by_dataset.items(), strict=True):
        for y, scores in enumerate(rows):
            values = 100 * scores.miou
            ax.scatter(values, [y] * len(values), color="#0072B2", s=28, alpha=0.75, lw=0)
            ax.plot([values.mean()] * 2, [y - 0.3, y + 0.3], color="#222222", lw=2)
        ax.set_yticks(range(len(rows)), [labels[s.row] for s in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlabel("mIoU on unseen scenes, % (dots: seeds; bar: mean)")
        ax.set_title(f"{dataset}, {experiment}", loc="left", fontsize=10)
        ax.grid(axis="x", color="#dddddd", lw=0.6)
    _save(figure, path)


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 9,
            "axes.axisbelow": True,
        }
    )
    return plt


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    figure.clf()


def fill(page: Path, text: str) -> None:
    """Put text between the two markers of a page."""
    before, found, rest = page.read_text().partition(START)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise SystemExit(f"error: {page}: no {START} ... {END}")
    page.write_text(f"{before}{START}\n\n{text}\n{END}{after}")


def main() -> None:
    """Write tables and charts of whatever is finished."""
    from benchmarks.real.report_papers import report_papers  # it takes its parts from here

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--doc", type=Path, default=DOC)
    args = parser.parse_args()
    blocks = [rates_table(args.results)]
    for experiment in ROWS:
        found = {d: read(args.results, d, experiment) for d in DATASETS[experiment]}
        found = {d: rows for d, rows in found.items() if rows}
        if not found:
            continue
        picture = args.doc.parent / "img" / f"real_input_{experiment}.png"
        if experiment == "peers":
            draw_curves(found, picture)
        else:
            draw_rows(experiment, found, picture)
        blocks += [table(d, experiment, rows) for d, rows in found.items()]
        blocks.append(f"![{experiment}](img/{picture.name})\n")
    text = "\n".join(blocks)
    print(text)
    if args.doc.is_file():
        fill(args.doc, text)
    if args.results == RESULTS:
        report_papers()


if __name__ == "__main__":
    main()
