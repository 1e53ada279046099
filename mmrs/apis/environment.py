"""What every tool does before it imports anything heavy."""

from __future__ import annotations

import os

from mmrs.compat import check_environment, quiet_known_warnings


def prepare_process(launcher: str = "none", local_rank: int = 0) -> None:
    """Tell in one line if the installed libraries cannot work, and quiet what says nothing.

    Args:
        launcher: What started this process.
        local_rank: Its number on this machine, where the launcher passes it as an argument.

    Raises:
        EnvironmentError: A library is missing, broken, or of a version that cannot work.
    """
    if launcher != "none":
        os.environ.setdefault("LOCAL_RANK", str(local_rank))
    quiet_known_warnings()
    check_environment()
