"""Predicts scenes in forked processes, for tests that kill them; imports no torch.

python -m tests.apis.predict_server

A line of JSON in, ``{"pairs": ..., "resume": ..., "limit": bytes or null, "slow": seconds}``: a
process is forked that predicts.  Lines out: ``pid N``; then ``at PLACE`` whenever it comes to a
place where a kill may hurt, if it is to be slow there; then ``end STATUS``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from typing import Any, ClassVar

import numpy as np

import mmrs.apis.predict
import mmrs.apis.scene.end_on_signals
import mmrs.geo.maps.raster_output as raster_output
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.cli import run
from mmrs.apis.scene.end_on_signals import end_on_signals
from mmrs.apis.scene.scene_settings import SceneOutputs

OUTPUTS = SceneOutputs(confidence=True, vectors=".geojson", areas=True)
HOW = {"window": 48, "stride": 30, "batch_size": 2}


class SharpModel:
    """Scores of a NumPy expression that depend on the place in the window and on the batch."""

    classes = ("a", "b", "c")
    palette = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    contract = ChannelContract(3, "uint8", "file")
    threshold = None
    window, stride = (48, 48), (30, 30)
    identity: ClassVar = {"model": "sharp"}

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        time.sleep(self.pause)
        count, height, width, _ = windows.shape
        place = np.add.outer(np.arange(height), 2 * np.arange(width))[..., None] % 7
        strength = windows / np.float32(40) + place * np.float32([0.0, 0.35, -0.2])
        scores = np.exp(strength + count * np.float32([0.0, 0.05, 0.1]))
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.ascontiguousarray(scores.transpose(0, 3, 1, 2), dtype=np.float32)


def tell(line: str) -> None:
    """Print a line in one piece: several threads and processes do."""
    os.write(1, f"{line}\n".encode())


def make_slow(seconds: float, places: list[str] | None = None) -> None:
    """Have this process tell where it is before and after it does something, and wait there."""
    for home, name, place in (
        (os, "replace", "rename"),
        (os, "fsync", "flush"),
        (os, "pwrite", "keep rows"),
        (os, "unlink", "remove"),
        (raster_output.RasterOutput, "_write_line", "write"),
        (raster_output, "_close", "close"),
        (raster_output, "_add_overviews", "overviews"),
        (raster_output, "read_back", "read back"),
    ):
        if places is None or place in places:
            setattr(home, name, _told(getattr(home, name), place, seconds))


def _told(function: Any, place: str, seconds: float) -> Any:
    def slow(*args: Any, **kwargs: Any) -> Any:
        tell(f"at {place}")
        time.sleep(seconds)
        result = function(*args, **kwargs)
        tell(f"at end of {place}")
        time.sleep(seconds)
        return result

    return slow


def predict(order: dict[str, Any]) -> int:
    """Carry out an order in this process."""
    if order.get("limit") is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    if order.get("grace"):
        mmrs.apis.scene.end_on_signals.GRACE_SECONDS = order["grace"]
    if order.get("slow"):
        make_slow(order["slow"], order.get("slow_at"))

    # a shell's background job ignores it, and so would its children
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def main(_: Any) -> None:
        with end_on_signals():
            mmrs.apis.predict.predict_scenes(
                order["pairs"],
                SharpModel(order.get("pause", 0.0)),
                resume=order["resume"],
                outputs=OUTPUTS,
                **HOW,
            )

    return run(main, [])


def serve() -> None:
    """Carry out the orders of standard input, each in a process of its own."""
    tell("ready")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = predict(json.loads(line))
            except SystemExit as end:
                status = int(end.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        tell(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        tell(f"end {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    serve()
