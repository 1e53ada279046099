"""Temporary files that killed processes left beside what they were writing."""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mmrs.geo.atomic import STEM_BYTES

# as mmrs.geo.atomic names them: .STEM.PID-TOKEN.part.SUFFIX, and what writers put beside them
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<pid>\d+)-[0-9a-f]{8}\.part(\..*)?", re.DOTALL)
_STARTED = time.time()


def remove_leftovers(targets: Iterable[str | Path]) -> list[Path]:
    """Remove the temporary files of targets whose process is gone; each folder is read once.

    Files of processes that live on this machine stay.  Those on another machine that write to the
    same folder cannot be told from dead ones: whoever calls this writes these targets alone.

    Args:
        targets: The files that were to be written.

    Returns:
        What was removed.
    """
    stems = defaultdict(set)
    for target in map(Path, targets):
        # longer stems are cut, so their files need not be the target's
        if len(os.fsencode(target.stem)) < STEM_BYTES:
            stems[target.parent].add(target.stem)
    removed = []
    for folder, wanted in stems.items():
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for entry in list(os.scandir(folder)):
                found = _TEMPORARY.fullmatch(entry.name)
                if found is None or found["stem"] not in wanted or not entry.is_file():
                    continue
                if not _is_alive(int(found["pid"]), entry):
                    Path(entry.path).unlink(missing_ok=True)
                    removed.append(Path(entry.path))
    return removed


def _is_alive(pid: int, entry: os.DirEntry[str]) -> bool:
    if pid == os.getpid():
        # in a container the killed process may have had this one's number
        return entry.stat().st_mtime >= _STARTED - 1
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
