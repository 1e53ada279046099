"""How processes that were started together find each other."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

from mmrs.apis.cli import error_line
from mmrs.apis.scene.rank_group import RankGroup
from mmrs.errors import EnvironmentError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
JOIN_SECONDS = 300.0  # libraries take their time on a busy machine
SEND_SECONDS = 60.0  # of a message, from one that is ready to another


def join_ranks() -> RankGroup:
    """Join the processes that were started together (by ``torchrun``, or with its variables).

    Raises:
        EnvironmentError: PyTorch is missing, or the processes do not find each other.
    """
    # PyTorch's own words about connections that end, which we tell in one line
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        from torch import distributed
        from torch.distributed.rendezvous import rendezvous
    except ImportError as error:
        raise EnvironmentError(
            f"several processes need PyTorch ({error})",
            fix="install torch, or start one process only",
        ) from error
    try:
        everybody = rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS))
        store, rank, size = next(everybody)
        # torchrun's own store outlives a restart of the processes
        name = f"mmrs predict {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        store = distributed.PrefixStore(name, store)
        _wait_for_all(store, rank, size)
        distributed.init_process_group(
            "gloo",
            store=distributed.PrefixStore("gloo", store),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=SEND_SECONDS),
        )
    except (RuntimeError, ValueError) as error:
        raise EnvironmentError(
            f"the processes do not find each other ({error_line(error)})",
            where=f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}",
            fix="start all of them, with one MASTER_ADDR and MASTER_PORT that all can reach, or "
            "unset WORLD_SIZE for one process",
        ) from error
    return RankGroup(store, rank, size)


def _wait_for_all(store: Any, rank: int, size: int) -> None:
    """Wait until all have imported what they need, so that the rest takes no time."""
    store.set(f"here/{rank}", "")
    deadline = time.monotonic() + JOIN_SECONDS
    missing = list(range(size))
    while missing := [rank for rank in missing if not store.check([f"here/{rank}"])]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"number {', '.join(map(str, missing[:9]))} of {size} did not come")
        time.sleep(0.05)


def is_started_by_torchrun() -> bool:
    """Whether the variables that ``torchrun`` sets are there."""
    return all(name in os.environ for name in NEEDED)


def is_one_of_several() -> bool:
    """Whether this process was started as one of several."""
    return is_started_by_torchrun() and int(os.environ["WORLD_SIZE"]) > 1
