"""What every tool does before it imports anything heavy."""

from __future__ import annotations

import importlib
import io
import os
from contextlib import redirect_stdout

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
    # OpenCV prints five lines for every GeoTIFF it opens, and what it cannot read we tell
    os.environ.setdefault("OPENCV_LOG_LEVEL", "FATAL")
    quiet_known_warnings()
    check_environment()
    # MMSegmentation prints here that an optional package of its maintainer is not installed
    with redirect_stdout(io.StringIO()):
        importlib.import_module("mmseg.datasets")
