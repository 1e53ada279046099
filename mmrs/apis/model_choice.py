"""The model that a command line names, and how it is to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from mmrs.apis.cli import UsageError
from mmrs.apis.window.augmented_model import AugmentedWindowModel, Symmetries
from mmrs.apis.window.window_protocol import WindowModel

if TYPE_CHECKING:
    from mmrs.apis.window.window_model import Amp


@dataclass(frozen=True)
class ModelChoice:
    """A trained model: a config and a checkpoint, or one ``.onnx`` file.

    Attributes:
        files: Which.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default a GPU where there is one.
        cfg_options: Words ``key=value`` that override keys of the config.
        amp: As of `mmrs.apis.window.window_model.SegmentorWindowModel`.
        compile: Likewise.
        channels_last: Likewise.
        tta: As of `AugmentedWindowModel`.
        scales: Likewise.
        threads: Of ONNX Runtime on a CPU; its own choice by default.
    """

    files: Sequence[str]
    device: str | None = None
    cfg_options: Sequence[str] = ()
    amp: Amp | None = None
    compile: bool = False
    channels_last: bool = False
    tta: Symmetries = "none"
    scales: Sequence[float] = field(default=(1.0,))
    threads: int | None = None

    @property
    def is_onnx(self) -> bool:
        """Whether it is an exported model, for which neither torch nor MMSegmentation is needed."""
        return len(self.files) == 1 and self.files[0].lower().endswith(".onnx")

    def check(self) -> None:
        """Raise where the words cannot mean a model, before anything is loaded.

        Raises:
            UsageError: They cannot.
        """
        suffixes = [os.path.splitext(name)[1].lower() for name in self.files]
        if not self.is_onnx and (len(self.files) != 2 or ".onnx" in suffixes):
            quoted = ", and a pattern of several scenes in quotes" if len(self.files) > 2 else ""
            raise UsageError(
                f"a model is a config and a checkpoint, or one .onnx file, got "
                f"{' '.join(self.files)}",
                fix="predict.py IMAGE CONFIG CHECKPOINT OUT, or predict.py IMAGE MODEL.onnx OUT"
                + quoted,
            )
        if suffixes[1:] == [".py"] and suffixes[0] != ".py":
            raise UsageError(
                f"the config comes first, got {' '.join(self.files)}",
                fix="predict.py IMAGE CONFIG CHECKPOINT OUT",
            )
        given = {
            "--cfg-options": self.cfg_options,
            "--amp": self.amp,
            "--compile": self.compile,
            "--channels-last": self.channels_last,
        }
        meant = [name for name, value in given.items() if value]
        if self.is_onnx and meant:
            raise UsageError(
                "has no meaning for an .onnx model, which is exported as it is to run",
                where=meant[0],
                fix="leave it out",
            )

    def on_own_device(self) -> ModelChoice:
        """The same, for one of several processes on a machine: a GPU, or cores, of its own."""
        processes = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        mine = replace(self, threads=max(1, (os.cpu_count() or 1) // processes))
        if self.device not in (None, "cuda"):
            return mine
        import torch  # which several processes need anyway

        if not torch.cuda.is_available():
            return mine
        number = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        return replace(mine, device=f"cuda:{number}")

    def load(self) -> WindowModel:
        """Load it.

        Raises:
            MmrsError: As `load_onnx_model` or `load_window_model`.
        """
        model: Any = self._load_onnx() if self.is_onnx else self._load_segmentor()
        if self.tta != "none" or tuple(self.scales) != (1.0,):
            model = AugmentedWindowModel(model, symmetries=self.tta, scales=self.scales)
        return cast(WindowModel, model)

    def _load_onnx(self) -> Any:
        from mmrs.apis.onnx.onnx_model import load_onnx_model

        return load_onnx_model(self.files[0], device=self.device, threads=self.threads)

    def _load_segmentor(self) -> Any:
        from mmrs.apis.environment import prepare_process

        prepare_process()
        from mmrs.apis.config.config_load import parse_cfg_options
        from mmrs.apis.window.kept_memory import keep_freed_memory
        from mmrs.apis.window.window_model import load_window_model

        config, checkpoint = self.files
        model = load_window_model(
            config,
            checkpoint,
            device=self.device,
            cfg_options=parse_cfg_options(self.cfg_options),
            amp=self.amp,
            compile=self.compile,
            channels_last=self.channels_last,
        )
        if model.device.type == "cpu":
            keep_freed_memory()
        return model
