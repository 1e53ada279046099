"""A progress bar that is also readable in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Update = Callable[..., None]  # (done, total, note="")


@contextmanager
def progress_bar(title: str, *, console: Console | None = None) -> Iterator[Update]:
    """Show how far something is: a bar on a terminal, a line every tenth elsewhere.

    Args:
        title: What is going on.
        console: Where to; standard error by default.

    Yields:
        A function to call with (done, total) and, if wanted, a note to show beside them.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _print_tenths(title, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, note="")

        def update(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield update


def _print_tenths(title: str, console: Console) -> Update:
    start, shown = time.monotonic(), -1

    def update(done: int, total: int, note: str = "") -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            seconds = time.monotonic() - start
            console.print(f"{title}: {done}/{total}  {seconds:.0f} s  {note}".rstrip())

    return update
