"""Curves of a run, as a picture that is never older than an interval."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from mmrs.engine.hook_option import check_hook_option
from mmrs.engine.scalar_files import read_scalars
from mmrs.errors import OutputError
from mmrs.registry import HOOKS


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draws ``curves.png`` in the work directory from MMEngine's scalars files.

    These hold the runs before a resume too, and survive a kill; the visualiser needs MMEngine's
    ``LocalVisBackend``, which configs have. See `draw_curves` for what is drawn. A picture that
    cannot be written is told, and ends no run.

    Args:
        interval: Steps from one picture to the next; the last step always has one.
        file_name: Of the picture, in the work directory.

    Raises:
        ConfigError: The interval is below 1.
    """

    # after the logger
    priority = "VERY_LOW"

    def __init__(self, *, interval: int = 500, file_name: str = "curves.png") -> None:
        check_hook_option("CurvesHook", "interval", interval, interval >= 1, ">= 1")
        self.interval = interval
        self.file_name = file_name
        self._told: set[str] = set()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw where it is time."""
        if self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    def after_train(self, runner: Any) -> None:
        """Draw the whole run."""
        self._draw(runner, runner.iter)

    def _draw(self, runner: Any, step: int) -> None:
        if not is_main_process():
            return
        # evaluation needs no matplotlib
        from mmrs.engine.curves import draw_curves

        title = f"{runner.experiment_name}, {step} of {runner.max_iters} steps"
        try:
            curves = read_scalars(runner.work_dir)
            drawn = draw_curves(curves, Path(runner.work_dir, self.file_name), title=title)
        except (OSError, OutputError) as error:
            self._tell_once(f"no picture of the curves: {error}")
            return
        if not drawn and step >= runner.max_iters:
            self._tell_once(
                "no picture of the curves: nothing was logged. Fix: "
                "visualizer.vis_backends=[dict(type='LocalVisBackend')], and LoggerHook's interval "
                "below the number of steps"
            )

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            print_log(line, "current", logging.WARNING)
