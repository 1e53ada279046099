"""Prepare a data set: survey, plan, cut in parallel, write the manifest, publish."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from mmrs.apis.cli import UsageError
from mmrs.apis.prepare.converter import Converter
from mmrs.apis.prepare.cut import cut_image
from mmrs.apis.prepare.job import ImageJob, JobResult, Plan
from mmrs.apis.prepare.job_checks import check_plan, check_polygons_hit, check_tiles
from mmrs.apis.prepare.manifest import build_manifest, hash_sources, write_manifest
from mmrs.apis.prepare.options import Options, RunOptions
from mmrs.apis.prepare.registry import find_converter
from mmrs.apis.prepare.staging import (
    BLOCK,
    Staging,
    check_replaceable,
    read_manifest,
    tiles_are_whole,
)
from mmrs.apis.progress import progress_bar
from mmrs.errors import DataError, MmrsError, OutputError
from mmrs.geo.archive import survey
from mmrs.geo.source_file import SourceFile

Told = Callable[[str], None]


def prepare(
    name: str,
    source: str | Path,
    out: str | Path,
    options: Options | None = None,
    run: RunOptions | None = None,
    *,
    tell: Told = print,
) -> dict[str, Any]:
    """Make of an official archive, or of your own files, the folders that the configs read.

    Nothing appears at ``out`` before everything is done; a run that was killed goes on where it
    stopped.

    Args:
        name: Of the data set, see `mmrs.apis.prepare.registry`.
        source: Its archive, or the folder with the archives or with what was in them.
        out: The folder to make.
        options: What to make of it.
        run: How.
        tell: Takes lines for the user.

    Returns:
        The manifest.

    Raises:
        UsageError: An option is unknown to this data set or out of range.
        DataError: The source is not what it should be.
        OutputError: ``out`` holds something else, or cannot be written.
    """
    options, run = options or Options(), run or RunOptions()
    if run.workers is not None and run.workers < 0:
        raise UsageError(f"--workers must be >= 0, got {run.workers}")
    converter = find_converter(name)
    options.check(name, converter.options)
    out = Path(out).resolve()
    source = Path(source)
    key = _key(converter, source, options)
    if source.is_dir() and out.is_relative_to(source.resolve()):
        raise UsageError(
            f"OUT ({out}) lies inside SOURCE, whose files it would become",
            fix="name a folder beside it",
        )
    found = _check_out(out, key, run.overwrite)
    if found is not None:
        tell(
            f"{out} is prepared already, with these settings; all its files are whole "
            "(--overwrite makes it anew, where SOURCE has changed)"
        )
        return found
    staging = Staging(out, key)
    with staging.opened():
        # another run may have finished it since
        if _check_out(out, key, run.overwrite) is not None:
            raise OutputError("another run has just prepared this set", where=out)
        files = _survey(converter, source, staging.scratch, options, run)
        plan = converter.plan(files, options, source)
        check_plan(plan, source)
        for note in plan.notes:
            tell(f"note: {note}")
        sources = hash_sources(source, lambda name: converter.wants_archive(name, options))
        records, skipped = _cut_all(plan, staging, options, run)
        if not any(record["tiles"] or record.get("listed") for record in records):
            told = [f"{one}: {why}" for one, why in (dict(plan.skipped) | skipped).items()]
            why = f"; {len(told)} were skipped, such as {told[0]}" if told else ""
            raise DataError(f"gives no tile at all{why}", where=source, fix=converter.expects())
        check_tiles(records, source)
        check_polygons_hit(plan, records)
        staging.sweep(records)
        if plan.block:
            (staging.root / BLOCK).write_text(plan.block, encoding="utf-8")
        extra = converter.finish(staging.root, records)
        manifest = build_manifest(
            converter, plan, key, options, sources, records, {**plan.skipped, **skipped}, extra
        )
        write_manifest(staging.root, manifest)
        staging.publish()
    return manifest


def _key(converter: Converter, source: Path, options: Options) -> str:
    """What the result depends on, beside the content of the files, which each image checks."""
    settings = {"dataset": converter.name, "format": converter.version, "options": options.given()}
    settings["source"] = str(source.resolve())
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_out(out: Path, key: str, overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest of a set that is there and whole; refuse what may not be replaced."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise OutputError("is a file", where=out, fix="name a folder")
    if not any(out.iterdir()):
        return None
    manifest = read_manifest(out)
    if not overwrite and manifest is not None and manifest.get("key") == key:
        if all(tiles_are_whole(out, record) for record in manifest["images"]):
            return manifest
        raise OutputError(
            "some files of this prepared set are missing or changed", where=out,
            fix="--overwrite makes it anew",
        )  # fmt: skip
    if not overwrite:
        what = "a set prepared with other settings" if manifest is not None else "files"
        raise OutputError(
            f"holds {what}", where=out, fix="name another OUT, or --overwrite to replace it"
        )
    check_replaceable(out)
    return None


def _survey(
    converter: Converter, source: Path, scratch: Path, options: Options, run: RunOptions
) -> list[SourceFile]:
    files = survey(
        source,
        scratch,
        limits=run.limits,
        open_archive=lambda name: converter.wants_archive(name, options),
    )
    if not files:
        raise DataError("holds no files", where=source, fix=converter.expects())
    return files


def _cut_all(
    plan: Plan, staging: Staging, options: Options, run: RunOptions
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Do all jobs that are not done yet; records are in the order of the plan."""
    stamps = {job.id: _stamp(job) for job in plan.jobs}
    records: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    todo = []
    with progress_bar("prepare") as show:
        for job in plan.jobs:
            record = staging.done(job.id, stamps[job.id])
            if record is None:
                todo.append(job)
            else:
                records[job.id] = record
        show(len(records), len(plan.jobs), f"{len(records)} kept" if records else "")
        for job, outcome in _outcomes(todo, staging, _num_workers(run, len(todo))):
            if isinstance(outcome, MmrsError):
                if not options.skip_bad or not isinstance(outcome, DataError):
                    raise outcome
                skipped[job.id] = str(outcome)
            elif outcome.skipped is not None:
                skipped[job.id] = outcome.skipped
            else:
                staging.note(job.id, stamps[job.id], outcome.record)
                records[job.id] = outcome.record
            show(len(records) + len(skipped), len(plan.jobs), job.id)
    return [records[job.id] for job in plan.jobs if job.id in records], skipped


def _stamp(job: ImageJob) -> str:
    """What the tiles of a job depend on."""
    return hashlib.sha256(job.fingerprint().encode()).hexdigest()


def _num_workers(run: RunOptions, jobs: int) -> int:
    wanted = min(os.cpu_count() or 1, 8) if run.workers is None else run.workers
    return min(wanted, jobs) if jobs > 1 else 0


def _outcomes(
    jobs: list[ImageJob], staging: Staging, workers: int
) -> Iterator[tuple[ImageJob, JobResult | MmrsError]]:
    """Jobs as they get done, each with its result or its error."""
    if workers < 2:
        for job in jobs:
            yield job, _try(job, staging.root, staging.scratch)
        return
    # spawn: GDAL's handles and locks do not survive a fork
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        waiting = iter(jobs)
        running: dict[Future[JobResult | MmrsError], ImageJob] = {}
        while True:
            # a few jobs ahead, not all: a million would wait in memory
            while len(running) < 4 * workers and (job := next(waiting, None)) is not None:
                running[pool.submit(_try, job, staging.root, staging.scratch)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                yield job, future.result()
    except BrokenProcessPool as error:
        raise OutputError(
            "a worker process died, probably for want of memory",
            where=staging.root,
            fix="run the same command again, it goes on; fewer --workers need less memory",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _try(job: ImageJob, root: Path, scratch: Path) -> JobResult | MmrsError:
    try:
        return cut_image(job, root, scratch)
    except MmrsError as error:
        return _portable(error)


def _portable(error: MmrsError) -> MmrsError:
    """The error without what cannot travel between processes."""
    made = type(error)(error.what, where=error.where, fix=error.fix)
    made.__cause__ = None
    return made


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, which stops the workers, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a parent that was killed tells nobody: its workers would write on, and then wait for ever
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
