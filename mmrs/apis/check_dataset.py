"""The whole look at the data of a config: every file, every finding, before step 1."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmrs.apis.checks.channel_findings import channel_findings
from mmrs.apis.checks.contact_sheet import write_contact_sheet
from mmrs.apis.checks.data_check import build_datasets
from mmrs.apis.checks.data_files import quiet_pillow
from mmrs.apis.checks.findings import Finding, findings_text
from mmrs.apis.checks.folder_check import same_images, unread_files
from mmrs.apis.checks.pair_check import PairResult
from mmrs.apis.checks.set_check import SetCheck
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.config_types import config_name
from mmrs.apis.progress import progress_bar
from mmrs.errors import ConfigError, DataError, MmrsError
from mmrs.geo.raster import allow_missing_georeference

SPLITS = ("train", "val", "test")


@dataclass
class Report:
    """What :func:`check_dataset` found.

    Attributes:
        config: Name of the config.
        findings: All of them.
        checks: The data sets that could be built, with their label tables and band sums.
        seconds: How long it took.
    """

    config: str
    findings: list[Finding] = field(default_factory=list)
    checks: list[SetCheck] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def summary(self) -> str:
        """One line: how many of each level, in how many pairs."""
        told = [
            f"{self.count(level)} {level}{'' if self.count(level) == 1 else 's'}"
            for level in ("error", "warning", "note")
        ]
        read = sum(check.read for check in self.checks)
        total = sum(len(check.pairs) for check in self.checks)
        return f"{', '.join(told)} ({read} of {total} pairs read in {self.seconds:.1f} s)"

    def text(self, *, show_all: bool = False) -> str:
        """Everything as it is printed.

        Args:
            show_all: Print every finding, not the first ten of each kind.
        """
        parts = [_set_text(check) for check in self.checks]
        if self.findings:
            parts.append(findings_text(self.findings, per_kind=None if show_all else 10))
        return "\n\n".join([*parts, f"{self.config}: {self.summary()}"])


def check_dataset(
    config: str | Path | Config,
    *,
    splits: Sequence[str] | None = None,
    out: str | Path | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Report:
    """Read every file of the data sets of a config and tell all that is wrong.

    Memory is bounded: images are decoded a few million pixels at a time, in as many threads as
    there are workers; labels are held whole, one a worker.

    Args:
        config: A config file, or a config; only its data sets are needed.
        splits: Which of train, val, test; by default those that the config has.
        out: A PNG to draw image, label and overlay of some pairs on.
        seconds: Stop reading after so long; by default everything is read.
        workers: Threads; by default one a core, 8 at most.
        cfg_options: Dotted key -> value, merged into the config.

    Returns:
        The report; nothing is raised for what is wrong with the data.

    Raises:
        ConfigError: The config cannot be read, or has no such data set.
        OutputError: The picture cannot be written.
    """
    started = time.monotonic()
    cfg = load_config(config, cfg_options=cfg_options)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    report = Report(config_name(cfg))
    deadline = None if seconds is None else started + seconds
    with allow_missing_georeference(), quiet_pillow():
        by_split = _open(cfg, _chosen(cfg, splits), report)
        jobs = [(check, info) for check in report.checks for info in check.pairs]
        count = workers or min(8, os.cpu_count() or 1)
        with progress_bar("looking at pairs") as tick:
            for done, (check, result) in enumerate(_read_all(jobs, count, deadline), 1):
                report.findings += result.findings
                check.add(result)
                tick(done, len(jobs))
        _close(report, by_split, cfg)
    report.seconds = time.monotonic() - started
    if out is not None:
        title = Path(report.config).name
        write_contact_sheet(out, report.checks, title=title, subtitle=report.summary())
    return report


def _chosen(cfg: Config, splits: Sequence[str] | None) -> list[str]:
    there = [s for s in SPLITS if isinstance(cfg.get(f"{s}_dataloader"), Mapping)]
    missing = [split for split in splits or () if split not in there]
    if missing or not there:
        raise ConfigError(
            f"there is no {missing[0] if missing else 'train'}_dataloader",
            where=config_name(cfg),
            fix=f"choose from {', '.join(there)}" if there else "set train_dataloader",
        )
    chosen = [split for split in there if splits is None or split in splits]
    same = "val" in chosen and "test" in chosen
    if same and cfg.val_dataloader.dataset == cfg.test_dataloader.dataset and splits is None:
        chosen.remove("test")  # one data set under two names
    return chosen


def _open(cfg: Config, chosen: Sequence[str], report: Report) -> dict[str, list[SetCheck]]:
    """Build the data sets, and note what cannot be."""
    by_split: dict[str, list[SetCheck]] = {}
    for split in chosen:
        try:
            leaves = list(build_datasets(cfg, split))
        except MmrsError as error:
            report.findings.append(Finding("data set", "error", error))
            continue
        for key, dataset in leaves:
            if len(dataset) and not hasattr(dataset, "get_data_info"):
                continue
            check = SetCheck(key, dataset, cfg)
            report.findings += check.opening()
            report.checks.append(check)
            by_split.setdefault(split, []).append(check)
    return by_split


def _read_all(
    jobs: Sequence[tuple[SetCheck, dict]], workers: int, deadline: float | None
) -> Iterator[tuple[SetCheck, PairResult]]:
    """Look at pairs in threads (decoders leave Python's lock), a few ahead of what is asked."""
    waiting: dict[Future[PairResult], SetCheck] = {}

    def look(check: SetCheck, info: dict) -> Callable[[], PairResult]:
        return lambda: check.checker.check(info, whole=True)

    with ThreadPoolExecutor(workers) as pool:
        for index, (check, info) in enumerate(jobs):
            if index and deadline is not None and time.monotonic() > deadline:
                break
            waiting[pool.submit(look(check, info))] = check
            if len(waiting) >= 2 * workers:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        for future, check in waiting.items():
            yield check, future.result()


def _close(report: Report, by_split: Mapping[str, list[SetCheck]], cfg: Config) -> None:
    """What all pairs tell together, and the folders."""
    for check in report.checks:
        report.findings += check.closing()
    if not any(f.kind == "bands" and f.level == "error" for f in report.findings):
        sets = {split: [check.dataset for check in checks] for split, checks in by_split.items()}
        report.findings += channel_findings(cfg, sets)
    for check in report.checks:
        if check.read < len(check.pairs):
            error = DataError(
                f"{len(check.pairs) - check.read} of {len(check.pairs)} pairs were not read",
                where=check.key,
                fix="give --seconds more, or leave it out",
            )
            report.findings.append(Finding("unread", "note", error))
    report.findings += unread_files(_all_datasets(cfg, by_split))
    paths = [
        (split, [info.get("img_path") or "" for check in checks for info in check.pairs])
        for split, checks in by_split.items()
    ]
    if paths and paths[0][0] == "train":
        report.findings += same_images(paths)
    report.findings.sort(key=lambda finding: finding.error.where or "")


def _all_datasets(cfg: Config, by_split: Mapping[str, list[SetCheck]]) -> Iterator[tuple[str, Any]]:
    """Yield data sets of all splits: those not chosen may share folders with the chosen."""
    for split in SPLITS:
        if split in by_split:
            yield from ((check.key, check.dataset) for check in by_split[split])
            continue
        try:
            yield from build_datasets(cfg, split)
        except MmrsError:
            continue  # told already, or not asked for


def _set_text(check: SetCheck) -> str:
    images = ", ".join(f"{count} x {kind}" for kind, count in check.kinds.most_common())
    lines = [f"{check.key}: {check.read} of {len(check.pairs)} pairs read; {images or 'no image'}"]
    for kind, sums in check.sums.items():
        if not sums.count:
            continue
        lines.append(f"  bands of the images with {kind} (valid pixels):")
        for band, (low, high, mean, std) in enumerate(
            zip(sums.low, sums.high, sums.mean, sums.std, strict=True), 1
        ):
            lines.append(f"    {band:>3}: {low:.5g} to {high:.5g}, mean {mean:.5g}, std {std:.5g}")
    if check.table is not None and check.table.files:
        lines.append(check.table.text())
    return "\n".join(lines)
