"""Signals end a command in order, and soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mmrs.apis.scene.end_on_signals
from mmrs.apis.scene.end_on_signals import end_on_signals

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import hashlib, sys, time
import mmrs.apis.scene.end_on_signals as ends
from mmrs.apis.cli import run
ends.GRACE_SECONDS, ends.TWICE_SECONDS = float(sys.argv[1]), float(sys.argv[2])
def main(_):
    with ends.end_on_signals():
        try:
            print("ready", flush=True)
            if sys.argv[4] == "computes":
                hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**30)  # minutes
            time.sleep(30)
        finally:
            print("leaving", flush=True)
            time.sleep(float(sys.argv[3]))
            print("left", flush=True)
sys.exit(run(main, []))
"""


def start(
    *, grace: float, twice: float, leaving: float, does: str = "sleeps"
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(grace), str(twice), str(leaving), does],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("others", [[], [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]])
@pytest.mark.parametrize(("first", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_block_is_left_in_order_whatever_comes_at_once_after(first, status, others) -> None:
    process = start(grace=20, twice=5, leaving=0.4)
    process.send_signal(first)
    assert process.stdout.readline() == "leaving\n"
    for other in others:
        process.send_signal(other)
        time.sleep(0.02)
    out, told = process.communicate(timeout=20)
    assert out == "left\n" and process.returncode == status
    assert told.splitlines() == ["interrupted" if first == signal.SIGINT else "terminated"]


@pytest.mark.parametrize(("grace", "again"), [(0.3, False), (20, True)])
def test_it_does_not_wait_for_ever(grace: float, again: bool) -> None:
    process = start(grace=grace, twice=0.1, leaving=20)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "leaving\n"
    begin = time.monotonic()
    if again:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=15)
    assert out == "" and process.returncode == 143
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(("grace", "again"), [(0.3, False), (20, True)])
def test_it_does_not_wait_for_what_never_looks_at_signals(grace: float, again: bool) -> None:
    process = start(grace=grace, twice=0.1, leaving=20, does="computes")
    time.sleep(0.2)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    if again:
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=15)
    assert out == "" and process.returncode == 130
    assert time.monotonic() - begin < 10


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # there is another thread
def test_signals_of_a_forked_process_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    leave = os._exit
    monkeypatch.setattr(mmrs.apis.scene.end_on_signals, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr("os._exit", ended.append)
    with end_on_signals():
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, lambda *_: None)
            os.kill(os.getpid(), signal.SIGTERM)
            leave(0)
        assert os.waitpid(pid, 0)[1] == 0
        time.sleep(0.3)
    assert not ended


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with end_on_signals():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    with pytest.raises(SystemExit) as caught, end_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert caught.value.code == 143
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
