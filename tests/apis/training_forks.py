"""Training runs of `tools/train.py` that can be killed, forked off a process that has imported all.

python -m tests.apis.training_forks: reads a run a line (JSON: ``argv``, ``env``, ``output``), forks
a process that runs the tool with it, and prints its id; an empty line waits for the oldest one and
prints its status.  What takes seconds, to import PyTorch and OpenMMLab, is done once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class TrainingForks:
    """The process that forks, from outside."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.apis.training_forks"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, argv: list[str], output: Path, **env: str) -> int:
        """Run the tool; what it prints goes to a file. Returns the process's id."""
        return self._ask(json.dumps({"argv": argv, "env": env, "output": str(output)}))

    def wait(self) -> int:
        """Status of the oldest run, once it has ended; below 0 the signal that killed it."""
        return self._ask("")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _ask(self, line: str) -> int:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def train_as_told(run: dict) -> int:
    from tests.apis.tiny_run import run_tool

    output = os.open(run["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(run["env"])
    return run_tool("train", *run["argv"])


def main() -> None:
    # libraries print while they are imported
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import mmpretrain.datasets
    import mmpretrain.models  # noqa: F401

    import mmrs.apis.train
    import mmrs.datasets
    import mmrs.engine.curves
    import mmrs.models  # noqa: F401

    running: list[int] = []
    for line in sys.stdin:
        if not line.strip():
            status = os.waitpid(running.pop(0), 0)[1]
            print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = train_as_told(json.loads(line))
            finally:
                os._exit(status)
        running.append(child)
        print(child, file=answers, flush=True)


if __name__ == "__main__":
    main()
