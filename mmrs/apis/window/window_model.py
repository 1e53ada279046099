"""A trained segmentor as scene prediction sees it: pixels of windows in, probabilities out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from numpy.typing import NDArray

from mmrs.apis.channels.channel_config import read_contract
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.config.build_errors import explain_build_error
from mmrs.apis.config.config_load import load_config
from mmrs.apis.config.model_classes import class_names
from mmrs.apis.weights.checkpoint_fit import check_fit, compare
from mmrs.apis.window.device_memory import tell_if_too_small
from mmrs.apis.window.model_identity import file_identity, text_identity
from mmrs.apis.window.model_use import check_config, whole_contract, window_and_stride
from mmrs.apis.window.network_call import Amp, NetworkCall
from mmrs.apis.window.tensor_scene_band import TensorSceneBand
from mmrs.apis.window.window_batch import WindowBatches
from mmrs.apis.window.window_protocol import DEFAULT_WINDOW_PX, Size, WindowModel, half
from mmrs.compat import safe_load_checkpoint
from mmrs.errors import CheckpointError, EnvironmentError
from mmrs.geo.blending import BlendKind
from mmrs.geo.rows.scene_rows import Wanted
from mmrs.geo.windows import WindowPlan

logger = logging.getLogger(__name__)

__all__ = [
    "SegmentorWindowModel",
    "Size",
    "WindowModel",
    "half",
    "load_weights",
    "load_window_model",
]


class SegmentorWindowModel:
    """An MMSegmentation segmentor as a ``WindowModel``.

    Args:
        model: In evaluation mode; its data preprocessor normalises, as it did in training.
        contract: What its training pipeline read.
        classes: Names.
        palette: RGB of each class.
        window: Size of a window that suits it, (rows, columns).
        stride: Step between windows that suits it; half a window by default.
        amp: Compute in half precision where autocast finds it safe: ``bf16``, ``fp16``, or None.
            Probabilities are of single precision all the same.
        compile: Compile the network by ``torch.compile``, once for each size of windows; batches
            that are not full are filled up for it.
        channels_last: Lay network and batches out with the channels last.

    Raises:
        ConfigError: If ``amp`` is something else.

    Attributes:
        identity: What tells it from other models, for a resume; of those that were loaded.
    """

    def __init__(
        self,
        model: Any,
        *,
        contract: ChannelContract,
        classes: Sequence[str],
        palette: Sequence[tuple[int, int, int]],
        window: Size = (DEFAULT_WINDOW_PX, DEFAULT_WINDOW_PX),
        stride: Size | None = None,
        amp: Amp | None = None,
        compile: bool = False,
        channels_last: bool = False,
    ):
        if channels_last:
            model.to(memory_format=torch.channels_last)
        self.model = model
        self.contract = contract
        self.classes = tuple(classes)
        self.palette = tuple(palette)
        self.window = window
        self.stride = stride or half(window)
        head = _last_head(model)
        # one output channel and a threshold is MMSeg's other way to tell two classes apart
        self.threshold: float | None = head.threshold if head.out_channels == 1 else None
        self._refines = hasattr(model, "refine_logits")
        self._batches = WindowBatches(
            model.data_preprocessor, contract, channels_last=channels_last
        )
        self.identity: dict[str, str | int] = {}
        self._network = NetworkCall(model, amp=amp, compile=compile)

    def __call__(self, windows: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels in file order, (N, h, w, bands) -> probabilities (N, K, h, w)."""
        return np.asarray(self.scores(windows).cpu().numpy())

    @torch.inference_mode()
    def scores(self, windows: NDArray[Any]) -> torch.Tensor:
        """The same on the model's device; on a GPU computed later, in the order of its queue.

        Raises:
            EnvironmentError: The device has not the memory for so many windows.
        """
        count, height, width, _ = windows.shape
        with tell_if_too_small(
            self.device,
            f"{count} windows of {height} x {width} px",
            fix="choose a smaller --batch-size, or a smaller --window",
        ):
            return self._scores(windows, height, width)

    def _scores(self, windows: NDArray[Any], height: int, width: int) -> torch.Tensor:
        inputs, metas = self._batches(windows)
        logits = self._network(inputs, metas)
        if self._refines:  # a CRF; a window's overlap is its halo
            logits = self.model.refine_logits(logits, inputs, metas)
        logits = logits[..., :height, :width].float()
        if self.threshold is not None:
            second = logits.sigmoid()
            return torch.cat([1 - second, second], dim=1)
        # in place: on a CPU fresh memory of this size costs more than the softmax
        return torch.softmax(logits, dim=1, out=logits)

    @torch.inference_mode()
    def find_size_divisor(self) -> int:
        """What the sides of its windows must be multiples of: 1, 2, 4, ..., 64, found by trying.

        A U-Net, say, takes no sides that cannot be halved as often as it pools; most networks
        take any. Windows of other sizes are padded by themselves.
        """
        bands = self.contract.bands or 3
        dtype = np.dtype(self.contract.dtype or "float32")
        height, width = 67, 101  # sides that no divisor has
        self(np.zeros((1, height, width, bands), dtype))
        return self._network.divisor_of(height, width)

    def unrefined(self) -> SegmentorWindowModel:
        """The same network without the CRF that its segmentor puts after each window."""
        other = copy.copy(self)
        other._refines = False
        return other

    def make_band(self, plan: WindowPlan, blend: BlendKind, wanted: Wanted) -> TensorSceneBand:
        """The band that blends these scores where they are computed.

        Raises:
            EnvironmentError: The device has not the memory for it.
        """
        with tell_if_too_small(
            self.device,
            f"{plan.window_height} rows of {plan.width} columns and {len(self.classes)} classes",
            fix="choose a smaller --window, or --device cpu",
        ):
            return TensorSceneBand(
                plan,
                len(self.classes),
                blend=blend,
                threshold=self.threshold,
                wanted=wanted,
                device=self.device,
            )

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self.model.data_preprocessor.device)


def load_window_model(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    amp: Amp | None = None,
    compile: bool = False,
    channels_last: bool = False,
) -> SegmentorWindowModel:
    """Build a config's segmentor, load trained weights, make it ready for windows.

    Args:
        config: An MMSegmentation config.
        checkpoint: What ``tools/train.py`` saved.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default a GPU where there is one.
        cfg_options: Keys of the config to override.
        amp: As of `SegmentorWindowModel`.
        compile: As of `SegmentorWindowModel`.
        channels_last: As of `SegmentorWindowModel`.

    Raises:
        ConfigError: If the config cannot be used for prediction.
        CheckpointError: If the checkpoint is missing, damaged, or of another model.
        EnvironmentError: If the device is not there.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    cfg = load_config(config, cfg_options=cfg_options)
    text = text_identity(cfg.pretty_text)
    # that of the program around stays as it is
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmseg"):
        check_config(cfg)
        stated = read_contract(cfg)
        model = _build(cfg)
        meta = load_weights(model, checkpoint)
        contract = whole_contract(stated, meta, cfg, checkpoint)
        classes, palette = class_names(cfg, meta, _num_classes(_last_head(model)), checkpoint)
    try:
        model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        # torch's texts run over many lines and name its build, not the mend
        raise EnvironmentError(
            "there is no such device", where=f"device {device}", fix="use cpu, or cuda where it is"
        ) from error
    window, stride = window_and_stride(cfg)
    ready = SegmentorWindowModel(
        model,
        contract=contract,
        classes=classes,
        palette=palette,
        window=window,
        stride=stride,
        amp=amp,
        compile=compile,
        channels_last=channels_last,
    )
    ready.identity = {
        "checkpoint": file_identity(checkpoint),
        "config": text,
        "device": torch.device(device).type,
        "torch": torch.__version__,
        "amp": amp or "none",
        "compiled": compile,
        "channels last": channels_last,
    }
    return ready


def load_weights(model: torch.nn.Module, checkpoint: str | Path) -> dict[str, Any]:
    """Load a checkpoint into a model, every tensor of it, and return its ``meta``.

    Raises:
        CheckpointError: If it is missing, damaged, or its tensors are not the model's.
    """
    path = Path(checkpoint)
    content = safe_load_checkpoint(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    state = {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if not state:
        raise CheckpointError("it holds no weights", where=path, fix="name a checkpoint (.pth)")
    fit = compare(model.state_dict(), state)
    check_fit(fit, where=str(path))
    # a config may leave out what serves training alone; anything else hints at another network
    left = [name for name in fit.unexpected if not name.startswith("auxiliary_head.")]
    if left:
        logger.warning(
            "warning: %s: %d of its tensors are not in the model and not used, such as %s",
            path, len(left), left[0],
        )  # fmt: skip
    model.load_state_dict(state, strict=False)
    meta = content.get("meta")
    return meta if isinstance(meta, dict) else {}


def _build(cfg: Config) -> Any:
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg.pop("pretrained", None)
    try:
        model = MODELS.build(model_cfg)
    except Exception as error:
        raise explain_build_error(error, cfg, "model") from error
    # one process has nobody to synchronise with
    return revert_sync_batchnorm(model)


def _num_classes(head: Any) -> int:
    """Two where a single channel tells them apart, whatever the head calls that."""
    return 2 if head.out_channels == 1 else int(head.num_classes)


def _last_head(model: Any) -> Any:
    head = model.decode_head
    return head[-1] if isinstance(head, torch.nn.ModuleList) else head
