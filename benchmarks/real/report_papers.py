"""The ablations of the other papers: one table and one picture in ``configs/<paper>/README.md``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.real.models import PAPERS, paper
from benchmarks.real.report import Scores, draw_rows, fill, percent, read_rows, verdict
from benchmarks.real.run import DATASETS, RESULTS
from mmrs.engine.confusion import score

ROOT = Path(__file__).resolve().parents[2]


def report_papers(results: Path = RESULTS, root: Path = ROOT) -> None:
    """Fill the page of every paper of which a run is finished."""
    for name in PAPERS:
        rows = {d: rows_of_paper(results, d, name) for d in DATASETS[name]}
        rows = {dataset: found for dataset, found in rows.items() if found}
        page = root / "configs" / name / "README.md"
        if not rows or not page.is_file():
            continue
        labels = labels_of(name)
        picture = root / "docs" / "img" / f"real_input_{name}.png"
        draw_rows("ablation", rows, picture, labels)
        reference = getattr(paper(name), "REFERENCE", next(iter(paper(name).ROWS)))
        blocks = [table(dataset, found, labels, reference) for dataset, found in rows.items()]
        blocks.append(f"![{name}]({os.path.relpath(picture, page.parent)})\n")
        text = "\n".join(blocks)
        print(f"{page.relative_to(root)}\n\n{text}")
        fill(page, text)


def labels_of(name: str) -> dict[str, str]:
    """Row -> label; a row that was scored after the CRF as well has two."""
    labels = dict(paper(name).ROWS)
    return {**labels, **{f"{row}+crf": f"{label} + CRF" for row, label in labels.items()}}


def rows_of_paper(results: Path, dataset: str, name: str) -> list[Scores]:
    """Finished runs by row; scores after the CRF are a row of their own."""
    found: list[Scores] = []
    for scores in read_rows(results / dataset / name, paper(name).ROWS):
        found.append(scores)
        refined = [{**run, **run["crf"]} for run in scores.runs if "crf" in run]
        if refined:
            found.append(Scores(f"{scores.row}+crf", refined))
    return found


def table(dataset: str, rows: list[Scores], labels: dict[str, str], reference: str) -> str:
    """One Markdown table; the verdicts are against one row, or in pairs against no CRF."""
    first = rows[0].runs[0]
    base = next((scores for scores in rows if scores.row == reference), rows[0])
    head = ["", "params", "images / CPU s", "iterations", "mIoU, % (mean ± std, range)"]
    lines = ["| " + " | ".join([*head, "OA", "AA", "Kappa", "mF1", "verdict"]) + " |"]
    lines.append("|" + "---|" * (len(head) + 5))
    for i, scores in enumerate(rows):
        runs = scores.runs
        refined = scores.row.endswith("+crf")
        said = paired_verdict(scores, rows[i - 1]) if refined else verdict(scores, base)
        cells = [
            labels[scores.row],
            f"{runs[0]['parameters'] / 1e6:.3f} M",
            f"{np.mean([run['images_per_cpu_s'] for run in runs]):.1f}",
            f"{np.mean([run['iterations'] for run in runs]):.0f}",
            percent(scores.miou),
            *(f"{100 * x:.1f}" for x in np.mean([other_scores(run) for run in runs], axis=0)),
            "" if scores is base else said,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    seeds = sorted({run["settings"]["seed"] for s in rows for run in s.runs})
    budget = first["settings"]["budget_s"]
    title = (
        f"**{dataset}**: {budget:.0f} CPU s a run, seeds {seeds}; "
        f"verdicts against {labels[base.row]}"
    )
    if any(s.row.endswith("+crf") for s in rows):
        title += ", those of the CRF against the row without it"
    return f"{title}.\n\n" + "\n".join(lines) + "\n"


def paired_verdict(refined: Scores, plain: Scores) -> str:
    """What the CRF did to each trained model: the same weights, so the gaps are taken in pairs."""
    gaps = 100 * (refined.miou - plain.miou)
    if len(gaps) < 2:
        return "one seed: says nothing"
    said = "better" if (gaps > 0).all() else "worse" if (gaps < 0).all() else "no difference"
    return f"{said} (the same weights, each seed: {', '.join(f'{gap:+.1f}' for gap in gaps)})"


def other_scores(run: dict) -> tuple[float, float, float, float]:
    """Overall accuracy, mean accuracy, Kappa and mean F1 of a run, in [0, 1]."""
    scores = score(np.array(run["confusion"], dtype=np.int64), run["classes"])
    mean = scores.mean
    return scores.overall_accuracy, mean(scores.recall), scores.kappa, mean(scores.f1)
