"""Fuzz: damaged files end in success or in a typed error that names them; none hangs or bursts.

500 mutants a run; MMRS_FUZZ=10000 reads so many, MMRS_SEED chooses others.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.mutants import make_mutant

ROOT = Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("MMRS_FUZZ", "500"))
SEED = int(os.environ.get("MMRS_SEED", "0"))
PATIENCE_S = 60  # for one mutant, on a busy machine
START_S = 300
MEMORY_MB = 512  # beyond what the imports take


def read_all(first: int, count: int, scratch: Path) -> tuple[list[dict], str | None]:
    """Run one worker; what it told, and how it died if it did."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.fuzz.worker"),
            *(str(SEED), str(first), str(count), str(scratch)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    thread = threading.Thread(target=pump)
    thread.start()
    told, died, patience = [], None, START_S
    try:
        while (line := lines.get(timeout=patience)) is not None:
            if line.startswith("{"):
                told.append(json.loads(line))
                patience = PATIENCE_S
    except queue.Empty:
        died = f"no word for {patience} s"
    process.kill() if died else None
    status = process.wait()
    thread.join()
    process.stdout.close()
    if died is None and status != 0:
        died = f"exit status {status}"
    return told, died


def test_every_mutant_ends_in_success_or_in_an_error_that_names_it(tmp_path):
    wrong, outcomes, peak, done, passed = [], Counter(), 0, 0, 0
    while done < COUNT:
        told, died = read_all(done, COUNT - done, tmp_path)
        begun = [line for line in told if "name" in line]
        for line in told:
            if "outcome" not in line:
                continue
            done, peak = line["number"] + 1, max(peak, line["grown_mb"])
            passed += line["passed"]
            outcomes[line["outcome"] if len(line["outcome"]) < 10 else "wrong"] += 1
            if line["outcome"] not in ("success", "refused"):
                mutant = make_mutant(SEED, line["number"])
                wrong.append(f"{mutant.name} ({mutant.how}): {line['outcome']}")
        if died is not None:
            assert begun, f"the worker did not begin: {died}"
            wrong.append(f"{begun[-1]['name']} ({begun[-1]['how']}): {died}")
            done = begun[-1]["number"] + 1
            outcomes["wrong"] += 1
    print(
        f"{done} mutants of seed {SEED}: {dict(outcomes)}, {passed} readings without an error, "
        f"{peak} MB beyond the imports"
    )
    assert not wrong, f"{len(wrong)} of {done}:\n" + "\n".join(wrong[:20])
    assert done == COUNT and sum(outcomes.values()) == COUNT
    # every mutant is read in one way (archives) or in eleven (pictures)
    assert passed > COUNT // 2, "mutants that all fail at the first byte test little"
    assert outcomes["refused"] > COUNT // 4, "nothing was damaged"
    assert peak < MEMORY_MB


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_number_is_always_the_same_mutant(number):
    assert make_mutant(5, number) == make_mutant(5, number)
    assert make_mutant(5, number).content != make_mutant(6, number).content
