"""Order of the runs, resuming, and what the report says of a gap."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.real import report
from benchmarks.real.report import Scores, verdict
from benchmarks.real.report_papers import paired_verdict
from benchmarks.real.run import fingerprint, is_finished, plan


def arguments(tmp_path: Path, **changes) -> argparse.Namespace:
    values = {
        "experiment": "peers",
        "datasets": ["cloud_shadow"],
        "models": None,
        "rates": [1e-3],
        "seeds": [0, 1],
        "budget": 10.0,
        "batch_size": 8,
        "crop": 128,
        "out": tmp_path,
    }
    return argparse.Namespace(**{**values, **changes})


def scores(row: str, *miou: float) -> Scores:
    curve = [{"cpu_s": 5.0, "miou": 0.4}, {"cpu_s": 10.0, "miou": 0.5}]
    runs = [
        {
            "miou": value,
            "iou": [value, value],
            "classes": ["a", "b"],
            "parameters": 300_000,
            "images_per_cpu_s": 20.0,
            "iterations": 10,
            "settings": {"seed": i, "budget_s": 10.0},
            "curve": curve,
        }
        for i, value in enumerate(miou)
    ]
    return Scores(row, runs)


def test_runs_are_interleaved_so_that_a_slow_hour_hits_every_model(tmp_path):
    order = [(s["seed"], s["model"]) for _, s in plan(arguments(tmp_path))]
    assert order == [(seed, m) for seed in (0, 1) for m in ("hiresnet", "fcn_hrnet", "unet")]


def test_a_finished_run_is_skipped_unless_its_settings_changed(tmp_path):
    (path, settings), *_ = plan(arguments(tmp_path))
    assert not is_finished(path, settings)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"fingerprint": fingerprint(settings)}))
    assert is_finished(path, settings)
    assert not is_finished(path, {**settings, "budget_s": 20.0})
    path.write_text('{"fingerprint": ')  # killed while writing
    assert not is_finished(path, settings)


@pytest.mark.parametrize(
    ("ours", "other", "said"),
    [
        ((0.70, 0.72), (0.69, 0.71), "no difference"),
        ((0.70, 0.72), (0.60, 0.61), "better"),
        ((0.60, 0.61), (0.70, 0.72), "worse"),
        ((0.70,), (0.10, 0.11), "one seed"),
    ],
)
def test_a_gap_below_the_spread_is_no_difference(ours, other, said):
    assert verdict(scores("hiresnet", *ours), scores("unet", *other)).startswith(said)


def test_the_report_fills_its_block_and_leaves_the_rest(tmp_path, monkeypatch):
    results = tmp_path / "results"
    for row in ("hiresnet", "unet"):
        for seed, run in enumerate(scores(row, 0.5, 0.6).runs):
            path = results / "cloud_shadow" / "peers" / f"{row}-seed{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run))
    doc = tmp_path / "page.md"
    doc.write_text(f"above\n{report.START}\nold\n{report.END}\nbelow\n")
    monkeypatch.setattr("sys.argv", ["report", "--results", str(results), "--doc", str(doc)])
    for _ in range(2):  # a second report replaces the first
        report.main()
        text = doc.read_text()
        assert text.startswith("above\n") and text.endswith("\nbelow\n")
        assert "old" not in text and text.count("Hi-ResNet (ours)") == 1
    assert "55.0 ± 7.1 (50.0 to 60.0)" in text  # std of 50, 60 is 10 / sqrt 2
    assert (tmp_path / "img" / "real_input_peers.png").stat().st_size > 5000
    assert np.isfinite(scores("unet", 0.5, 0.6).spread)


@pytest.mark.parametrize(
    ("refined", "said"),
    [
        ((0.51, 0.62), "better (the same weights, each seed: +1.0, +2.0)"),
        ((0.49, 0.62), "no difference"),
        ((0.49, 0.59), "worse"),
    ],
)
def test_scores_after_the_crf_are_compared_with_those_of_the_same_weights(refined, said):
    # the seeds lie ten points apart, which says nothing about the CRF
    assert paired_verdict(scores("r34+crf", *refined), scores("r34", 0.50, 0.60)).startswith(said)
