"""Pixels of windows as a segmentor takes them: on its device, normalised as in training."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from mmseg.models import SegDataPreProcessor as MMSegDataPreProcessor
from mmseg.structures import SegDataSample
from numpy.typing import NDArray
from torch import Tensor

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.models.seg_data_preprocessor import SegDataPreProcessor

_BATCHES_AHEAD = 2  # that may wait for the GPU, each with its pixels


class WindowBatches:
    """Brings batches of windows to a segmentor's device and normalises them there.

    What the data preprocessor does to one image after the other is done to the whole batch at
    once where the class is known, with the same operations; else the preprocessor is called.

    To a GPU pixels travel as they are in the file where those are bytes, from pinned memory and on
    a stream of their own, so beside the computation of the batch before.

    Args:
        preprocessor: The segmentor's.
        contract: What its training pipeline read.
        channels_last: Lay the batch out as convolutions like it best on some devices.
    """

    def __init__(
        self, preprocessor: Any, contract: ChannelContract, *, channels_last: bool = False
    ) -> None:
        self._preprocessor = preprocessor
        self._contract = contract
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._copies: torch.cuda.Stream | None = None
        self._queued: deque[torch.cuda.Event] = deque()

    def __call__(self, windows: NDArray[Any]) -> tuple[Tensor, list[dict[str, Any]]]:
        """Pixels in file order, (N, h, w, bands) -> (N, bands, h, w) float32, and MMSeg's metas."""
        _, height, width, bands = windows.shape
        if self._contract.scaling is not None:
            windows = self._contract.scaling(windows)
        elif windows.dtype != np.uint8:
            windows = windows.astype(np.float32, copy=False)
        size = (height, width)
        meta = {"img_shape": size, "ori_shape": size, "pad_shape": size}
        if not self._is_known(bands):
            return self._call_preprocessor(windows, meta)
        reverse = (self._contract.order == "reversed") != self._preprocessor._channel_conversion
        pixels = self._move(windows)
        if reverse:
            pixels = pixels.flip(-1)
        batch = torch.empty(
            (len(pixels), bands, height, width), device=pixels.device, memory_format=self._format
        )
        batch.copy_(pixels.permute(0, 3, 1, 2))
        if self._preprocessor._enable_normalize:
            batch.sub_(self._preprocessor.mean).div_(self._preprocessor.std)
        return batch, [dict(meta) for _ in windows]

    def _is_known(self, bands: int) -> bool:
        known = self._preprocessor
        if type(known) not in (MMSegDataPreProcessor, SegDataPreProcessor) or known.test_cfg:
            return False
        if known._channel_conversion and bands != 3:
            return False  # told, or passed over
        return not known._enable_normalize or known.mean.numel() in (1, bands)

    def _call_preprocessor(
        self, windows: NDArray[Any], meta: dict[str, Any]
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        if self._contract.order == "reversed":
            windows = windows[..., ::-1]
        batch = torch.from_numpy(np.ascontiguousarray(windows.transpose(0, 3, 1, 2)))
        samples = [SegDataSample(metainfo=dict(meta)) for _ in batch]
        data = self._preprocessor({"inputs": list(batch), "data_samples": samples})
        inputs = data["inputs"].contiguous(memory_format=self._format)
        return inputs, [sample.metainfo for sample in data["data_samples"]]

    def _move(self, windows: NDArray[Any]) -> Tensor:
        """The pixels on the device, (N, h, w, bands)."""
        pixels = np.ascontiguousarray(windows)
        if not pixels.flags.writeable:
            pixels = pixels.copy()  # PyTorch warns of arrays that must not change
        host, device = torch.from_numpy(pixels), torch.device(self._preprocessor.device)
        if device.type != "cuda":
            return host.to(device)
        if self._copies is None:
            self._copies = torch.cuda.Stream(device)
        now = torch.cuda.current_stream(device)
        self._wait_for_an_earlier_batch(now)
        with torch.cuda.stream(self._copies):
            moved = host.pin_memory().to(device, non_blocking=True)
        now.wait_stream(self._copies)
        # its memory was taken on the other stream: not to be given away while this one reads it
        moved.record_stream(now)
        return moved

    def _wait_for_an_earlier_batch(self, stream: torch.cuda.Stream) -> None:
        # else a slow GPU would have all batches of a wide scene queued before it
        event = torch.cuda.Event()
        event.record(stream)
        self._queued.append(event)
        if len(self._queued) > _BATCHES_AHEAD:
            self._queued.popleft().synchronize()
