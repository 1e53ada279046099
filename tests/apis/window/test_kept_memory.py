"""keep_freed_memory: counted in pages that the system had to hand out."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mmrs.apis.model_choice import ModelChoice
from tests.apis.test_predict import demo_config, save_model

COUNT = """
import resource, sys
import numpy as np
from mmrs.apis.window.kept_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def fill():
    np.empty(48 << 20, np.uint8).fill(1)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    fill()
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_minflt - before)
"""


def pages(how: str) -> int:
    run = [sys.executable, "-c", COUNT, how]
    return int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_that_was_freed_is_used_again() -> None:
    kept, given_back = pages("keep"), pages("not")
    assert kept < 500
    # 48 MB are 24 pages where the system has large ones, else 12288; the property is worth a
    # function only while the plain way lacks it
    assert given_back > kept


def test_the_command_keeps_memory_for_networks_on_the_cpu(tmp_path: Path, monkeypatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(
        "mmrs.apis.window.kept_memory.keep_freed_memory", lambda: called.append(True)
    )
    files = save_model(tmp_path, demo_config())
    ModelChoice([str(path) for path in files], device="cpu").load()
    assert called == [True]
