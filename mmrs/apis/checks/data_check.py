"""A bounded look at the data before a run: files, sizes, label ids, and what they become."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from mmrs.apis.checks.channel_findings import channel_findings
from mmrs.apis.checks.data_files import missing_folder
from mmrs.apis.checks.findings import raise_first
from mmrs.apis.checks.label_table import LabelTable
from mmrs.apis.checks.set_check import SetCheck
from mmrs.apis.config.build_errors import explain_build_error
from mmrs.apis.config.config_classes import leaf_datasets as leaf_configs
from mmrs.apis.config.config_keys import accepted_parameters
from mmrs.apis.config.config_types import resolve
from mmrs.apis.guarded_pipeline import leaf_datasets
from mmrs.errors import MmrsError


def check_data(cfg: Config, splits: Sequence[str], *, seconds: float = 10.0) -> list[LabelTable]:
    """Look at the data sets of a run, for a bounded time, the first sample of each in full.

    The same checks as ``tools/check_dataset.py``, but headers of images only, and the first error
    is raised. What comes later in a folder than the time allows is still checked by the worker that
    reads it (:class:`~mmrs.apis.guarded_pipeline.GuardedPipeline`).

    Args:
        cfg: A whole config; its default scope must be initialised.
        splits: Which of train, val, test the run uses.
        seconds: For all data sets together; 0 looks at the first sample only.

    Returns:
        The label tables of the data sets that have labels.

    Raises:
        DataError, LabelError: The first wrong file, or folder.
        ConfigError: A data set cannot be built.
    """
    leaves = [leaf for split in splits for leaf in build_datasets(cfg, split)]
    tables = []
    for index, (key, dataset) in enumerate(leaves):
        share = seconds / (len(leaves) - index)
        started = time.monotonic()
        check = SetCheck(key, dataset, cfg)
        table = _check_dataset(check, started + share)
        seconds = max(0.0, seconds - (time.monotonic() - started))
        if table is not None:
            tables.append(table)
    by_split: dict[str, list[Any]] = {}
    for key, dataset in leaves:
        by_split.setdefault(key.partition("_")[0], []).append(dataset)
    raise_first(channel_findings(cfg, by_split))
    return tables


def build_datasets(cfg: Config, split: str) -> Iterator[tuple[str, Any]]:
    """Build the data sets of a split, those inside wrappers one by one.

    Args:
        cfg: A whole config; its default scope must be initialised.
        split: train, val or test.

    Yields:
        The place in the config, and the data set.

    Raises:
        ConfigError, DataError: It cannot be built.
    """
    loader = cfg.get(f"{split}_dataloader")
    if not isinstance(loader, Mapping) or not isinstance(loader.get("dataset"), Mapping):
        return
    key = f"{split}_dataloader.dataset"
    with DATASETS.switch_scope_and_registry(None) as registry:
        try:
            dataset = registry.build(_unserialized(loader["dataset"]))
            if hasattr(dataset, "full_init"):
                dataset.full_init()
        except MmrsError:
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise missing_folder(error, key) from error
        except Exception as error:
            raise explain_build_error(error, cfg, key) from error
    leaves = list(leaf_datasets(dataset))
    for index, leaf in enumerate(leaves):
        yield (key if len(leaves) == 1 else f"{key} (part {index})"), leaf


def _unserialized(dataset: Any) -> Any:
    """Copy a data set's config; its list stays a list, for an empty one cannot be serialised."""
    dataset = copy.deepcopy(dataset)
    for _, leaf in leaf_configs(dataset, ""):
        target = resolve(str(leaf.get("type")), DATASETS)
        if target is not None and "serialize_data" in accepted_parameters(target)[0]:
            leaf["serialize_data"] = False
    return dataset


def _check_dataset(check: SetCheck, deadline: float) -> LabelTable | None:
    if len(check.dataset) and not hasattr(check.dataset, "get_data_info"):
        return None
    raise_first(check.opening())
    for count, info in enumerate(check.pairs):
        if count and time.monotonic() > deadline:
            break
        result = check.checker.check(info, whole=count == 0)
        raise_first(result.findings)
        check.add(result)
    # a transform that cannot work should not wait for a worker
    raise_first(check.closing())
    return check.table if check.table is not None and check.table.files else None
