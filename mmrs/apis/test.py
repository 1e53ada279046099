"""Evaluation: a config and a checkpoint in, scores, maps, or a submission out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmrs.apis.checks.data_check import check_data
from mmrs.apis.config.config_check import check_config
from mmrs.apis.config.config_classes import leaf_datasets
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name
from mmrs.apis.runtime import build_runner, check_launcher, is_first_process
from mmrs.apis.train import check_load_from, set_work_dir, unwrap
from mmrs.compat import refuse_unsafe_checkpoints
from mmrs.engine.boundary_metric import BOUNDARY_NAMES, check_boundary_width
from mmrs.engine.seg_metric import METRIC_NAMES, check_metric_names
from mmrs.errors import ConfigError, MmrsError
from mmrs.pretrained import look_after_pretrained_weights

_OURS = ("SegMetric", "ISPRSMetric")


def test(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    confusion_matrix: str | Path | None = None,
    boundary_px: float | None = None,
    boundary_m: float | None = None,
    stitch: bool = False,
    loveda_submission: str | Path | None = None,
    show: bool = False,
    show_dir: str | Path | None = None,
    wait_time: float = 2.0,
    tta: bool = False,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    check_seconds: float = 10.0,
) -> dict[str, float]:
    """Evaluate a checkpoint on the config's ``test_dataloader``.

    Args:
        config: A config file, or a config.
        checkpoint: What training saved; every tensor of the model must be in it.
        work_dir: Where the log goes; by default the config's, else
            ``work_dirs/<name of the config>``.
        out: A folder for the predicted maps.
        metrics: Scores of :class:`~mmrs.engine.SegMetric`, instead of the config's, and of
            :class:`~mmrs.engine.BoundaryMetric`, which need one of the two widths.
        confusion_matrix: A CSV file for the confusion matrix.
        boundary_px: Width of the boundary scores in pixels.
        boundary_m: Width of the boundary scores in metres.
        stitch: Put windows of one scene together before they are counted.
        loveda_submission: A folder for LoveDA's server: maps and a zip; no scores.
        show: Open a window for each prediction.
        show_dir: A folder for pictures of the predictions.
        wait_time: How long each window stays, in seconds.
        tta: Test-time augmentation, by the config's ``tta_pipeline`` and ``tta_model``.
        cfg_options: Dotted key -> value, merged into the config.
        launcher: ``none``, or what started this process.
        check_seconds: How long to look at the data beforehand.

    Returns:
        Score -> value, in percent for mmrs' metrics.

    Raises:
        MmrsError: One line with the file or key, the cause and the mend.
    """
    refuse_unsafe_checkpoints()
    look_after_pretrained_weights()
    cfg = load_config(config, cfg_options=cfg_options)
    cfg.launcher, cfg.resume, cfg.load_from = launcher, False, str(checkpoint)
    set_work_dir(cfg, work_dir)
    check_launcher(launcher)
    if loveda_submission is not None:
        _submit_loveda(cfg, loveda_submission)
    else:
        _choose_scores(cfg, metrics, confusion_matrix, (boundary_px, boundary_m), stitch)
    if out is not None:
        _write_maps(cfg, out)
    check_config(cfg, "test")
    if show or show_dir is not None:
        _show_predictions(cfg, show=show, show_dir=show_dir, wait_time=wait_time)
    check_load_from(cfg)
    if is_first_process():
        check_data(cfg, ("test",), seconds=check_seconds)
    if tta:
        _augment(cfg)
    try:
        return dict(build_runner(cfg, "test").test())
    except MmrsError as error:
        raise unwrap(error) from error


test.__test__ = False  # type: ignore[attr-defined]  # a function of the API, not of pytest


def _evaluators(cfg: Config) -> list[dict]:
    evaluator = cfg.get("test_evaluator") or []
    if isinstance(evaluator, Mapping):
        # MMEngine's long form: dict(type='Evaluator', metrics=[...])
        return list(evaluator["metrics"]) if "metrics" in evaluator else [evaluator]
    return list(evaluator)


def _choose_scores(
    cfg: Config,
    metrics: Sequence[str] | None,
    confusion_matrix: str | Path | None,
    boundary_width: tuple[float | None, float | None],
    stitch: bool,
) -> None:
    """Put what the command line asks for in the place of the config's scores."""
    names = None if metrics is None else list(metrics)
    if names is not None:
        check_metric_names(names, where="--metrics", known=(*METRIC_NAMES, *BOUNDARY_NAMES))
    boundary = None if names is None else [name for name in names if name in BOUNDARY_NAMES]
    if boundary or boundary_width != (None, None):
        try:
            check_boundary_width(*boundary_width)
        except ConfigError as error:
            raise ConfigError(
                error.what,
                where="--metrics bIoU bF1",
                fix="add --boundary-px 3, or --boundary-m 0.5",
            ) from error
        boundary = boundary or list(BOUNDARY_NAMES)
    own = None if names is None else [name for name in names if name in METRIC_NAMES]
    if own is not None or confusion_matrix is not None or stitch or boundary:
        _use_seg_metric(cfg, own, confusion_matrix, stitch)
    if boundary:
        _add_boundary_metric(cfg, boundary, boundary_width)


def _use_seg_metric(
    cfg: Config,
    metrics: Sequence[str] | None,
    confusion_matrix: str | Path | None,
    stitch: bool,
) -> None:
    """Replace the segmentation metric of a config by ours, keeping what both understand."""
    replaced = []
    found = False
    for evaluator in _evaluators(cfg):
        kind = str(evaluator.get("type")).removeprefix("mmrs.")
        if kind in _OURS:
            ours = dict(evaluator)
        elif evaluator.get("type") in ("IoUMetric", "mmseg.IoUMetric"):
            kept = ("ignore_index", "output_dir", "format_only", "prefix")
            ours = {k: v for k, v in evaluator.items() if k in kept}
            ours["type"] = "mmrs.SegMetric"
        else:
            replaced.append(evaluator)
            continue
        found = True
        if metrics:
            ours["score_names"] = list(metrics)
        if confusion_matrix is not None:
            ours["confusion_matrix"] = str(confusion_matrix)
        if stitch:
            ours["stitch"] = True
        replaced.append(ours)
    if not found:
        raise ConfigError(
            "no IoUMetric or mmrs.SegMetric whose scores could be chosen",
            where=f"{config_name(cfg)}: test_evaluator",
            fix="set test_evaluator=dict(type='mmrs.SegMetric')",
        )
    cfg.test_evaluator = replaced


def _add_boundary_metric(
    cfg: Config, names: Sequence[str], width: tuple[float | None, float | None]
) -> None:
    """Score boundaries too, by the rules that the config's own metric has."""
    evaluators = _evaluators(cfg)
    like = next(e for e in evaluators if str(e.get("type")).removeprefix("mmrs.") in _OURS)
    shared = ("ignore_index", "exclude_from_mean", "stitch", "prefix")
    boundary = {k: like[k] for k in shared if k in like}
    if "ISPRSMetric" in like["type"] and not like.get("clutter", False):
        excluded = (*like.get("exclude_from_mean", ()), "clutter")
        boundary["exclude_from_mean"] = tuple(dict.fromkeys(excluded))
    boundary["type"] = "mmrs.BoundaryMetric"
    boundary["score_names"] = list(names)
    boundary["width_px"], boundary["width_m"] = width
    others = [e for e in evaluators if "BoundaryMetric" not in str(e.get("type"))]
    cfg.test_evaluator = [*others, boundary]


def _write_maps(cfg: Config, folder: str | Path) -> None:
    found = False
    evaluators = _evaluators(cfg)
    for evaluator in evaluators:
        if str(evaluator.get("type")).rpartition(".")[2] in (*_OURS, "IoUMetric"):
            evaluator["output_dir"] = str(folder)
            found = True
    if not found:
        raise ConfigError(
            "no evaluator that writes maps",
            where=f"{config_name(cfg)}: test_evaluator",
            fix="set test_evaluator=dict(type='mmrs.SegMetric'), or leave --out out",
        )
    cfg.test_evaluator = evaluators


def _submit_loveda(cfg: Config, folder: str | Path) -> None:
    """The test images have no labels: predict, write, zip."""
    cfg.test_evaluator = {"type": "mmrs.LoveDASubmission", "out_dir": str(folder)}
    for _, dataset in _test_datasets(cfg):
        dataset["pipeline"] = [
            step
            for step in dataset.get("pipeline", [])
            if str(step.get("type")).rpartition(".")[2] != "LoadAnnotations"
        ]
        prefix = dict(dataset.get("data_prefix") or {})
        prefix.pop("seg_map_path", None)
        dataset["data_prefix"] = prefix


def _test_datasets(cfg: Config) -> list[tuple[str, Any]]:
    loader = cfg.get("test_dataloader") or {}
    return list(leaf_datasets(loader.get("dataset"), "test_dataloader.dataset"))


def _show_predictions(
    cfg: Config, *, show: bool, show_dir: str | Path | None, wait_time: float
) -> None:
    hook = (cfg.get("default_hooks") or {}).get("visualization")
    name = config_name(cfg)
    if hook is None or cfg.get("visualizer") is None:
        missing = "default_hooks.visualization" if hook is None else "visualizer"
        value = "SegVisualizationHook" if hook is None else "SegLocalVisualizer"
        raise ConfigError(
            "--show and --show-dir draw by it, and it is not set",
            where=f"{name}: {missing}",
            fix=f"set {missing}=dict(type='{value}')",
        )
    if (
        show
        and sys.platform == "linux"
        and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    ):
        raise ConfigError(
            "there is no display to open a window on", where="--show", fix="use --show-dir FOLDER"
        )
    hook["draw"] = True
    if show:
        hook["show"], hook["wait_time"] = True, wait_time
    if show_dir is not None:
        cfg.visualizer["save_dir"] = str(show_dir)


def _augment(cfg: Config) -> None:
    for key in ("tta_pipeline", "tta_model"):
        if cfg.get(key) is None:
            raise ConfigError(
                "--tta needs it, and it is not set",
                where=f"{config_name(cfg)}: {key}",
                fix="copy tta_pipeline and tta_model from MMSegmentation's _base_ configs, or "
                "leave --tta out",
            )
    for _, dataset in _test_datasets(cfg):
        dataset["pipeline"] = cfg.tta_pipeline
    cfg.tta_model["module"] = cfg.model
    cfg.model = cfg.tta_model
