"""What an exported ONNX file says of itself, and the seal that shows whether it was changed since.

Imports neither torch nor onnx: whoever runs the file needs ONNX Runtime alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrs.apis.channels.channel_contract import META_KEY, ChannelContract
from mmrs.apis.window.window_protocol import Size
from mmrs.errors import CheckpointError
from mmrs.version import __version__

FORMAT = 1
INFO_KEY = "mmrs"  # in the metadata_props: all below, as JSON
SEAL_KEY = "mmrs.sha256"  # of the file with 64 zeros in place of this
MAKE_ONE = "make one with tools/export.py CONFIG CHECKPOINT OUT.onnx"

_EMPTY_SEAL = b"0" * 64
# how protobuf writes the entry: key (field 1, its length), value (field 2, 64 characters)
_SEAL_MARK = b"\x0a" + bytes([len(SEAL_KEY)]) + SEAL_KEY.encode() + b"\x12\x40"


@dataclass(frozen=True)
class OnnxMetadata:
    """What scene prediction needs to know of a model, beside its graph.

    Attributes:
        contract: Which bands it takes; scaling and normalisation are inside the graph.
        classes: Names, in the order of the probabilities.
        palette: RGB of each class.
        threshold: Of the second of two classes, see ``WindowModel``.
        window: Size of a window that suits it, (rows, columns).
        stride: Step between windows that suits it.
        left_out: What the model does beside its network and the graph does not.
        config: Name of the config that it was exported from.
        checkpoint_sha256: Of the file whose weights it holds.
        version: Of the mmrs that wrote it.
    """

    contract: ChannelContract
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    threshold: float | None
    window: Size
    stride: Size
    left_out: tuple[str, ...] = ()
    config: str = ""
    checkpoint_sha256: str = ""
    version: str = __version__

    def to_props(self) -> dict[str, str]:
        """The metadata_props, with an empty seal."""
        contract = self.contract
        rows, cols = self.window
        info = {
            "format": FORMAT,
            "version": self.version,
            "bands": list(contract.file_bands or range(1, (contract.bands or 0) + 1)),
            "classes": self.classes,
            "palette": self.palette,
            "threshold": self.threshold,
            "window": self.window,
            "stride": self.stride,
            "overlap": (rows - self.stride[0], cols - self.stride[1]),
            "left_out": self.left_out,
            "config": self.config,
            "checkpoint_sha256": self.checkpoint_sha256,
            META_KEY: contract.to_meta(),
        }
        text = json.dumps(info, allow_nan=False, ensure_ascii=False)
        return {INFO_KEY: text, SEAL_KEY: _EMPTY_SEAL.decode()}

    @classmethod
    def from_props(cls, props: Mapping[str, str], *, where: str | Path) -> OnnxMetadata:
        """What a file's metadata_props say.

        Raises:
            CheckpointError: They are not ours, of a newer mmrs, or damaged.
        """
        if INFO_KEY not in props:
            raise CheckpointError(
                "it is an ONNX model that does not say which bands it takes, how they are scaled "
                f"and what its classes are (no {INFO_KEY!r} in its metadata)",
                where=where,
                fix=MAKE_ONE,
            )
        try:
            info = json.loads(props[INFO_KEY])
            number = int(info["format"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(error, where) from error
        if number > FORMAT:
            raise CheckpointError(
                f"it is of format {number}, written by mmrs {info.get('version')}; mmrs "
                f"{__version__} reads up to format {FORMAT}",
                where=where,
                fix="install a newer mmrs, or export the model again with this one",
            )
        contract = ChannelContract.from_meta(info, where=str(where))
        try:
            if contract is None:
                raise KeyError(META_KEY)
            found = cls(
                contract=contract,
                classes=tuple(str(name) for name in info["classes"]),
                palette=tuple((int(r), int(g), int(b)) for r, g, b in info["palette"]),
                threshold=None if info["threshold"] is None else float(info["threshold"]),
                window=_size(info["window"]),
                stride=_size(info["stride"]),
                left_out=tuple(info["left_out"]),
                config=str(info["config"]),
                checkpoint_sha256=str(info["checkpoint_sha256"]),
                version=str(info["version"]),
            )
            if not found.classes or len(found.classes) != len(found.palette):
                raise ValueError(f"{len(found.classes)} classes, {len(found.palette)} colours")
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(error, where) from error
        return found


def seal(content: bytes) -> bytes:
    """Put the SHA-256 of a serialised model into it.

    Args:
        content: A model with the entries of ``OnnxMetadata.to_props``.

    Raises:
        ValueError: It has no empty seal, or two.
    """
    mark = _SEAL_MARK + _EMPTY_SEAL
    if content.count(mark) != 1:
        raise ValueError(f"the model must hold one empty seal, it holds {content.count(mark)}")
    return content.replace(mark, _SEAL_MARK + hashlib.sha256(content).hexdigest().encode())


def check_seal(content: bytes, *, where: str | Path) -> bool:
    """Whether a file is sealed, and the same as when it was.

    Returns:
        False where there is no seal: it is none of ours, or cut off.

    Raises:
        CheckpointError: A byte of it is not what was written.
    """
    start = content.rfind(_SEAL_MARK)
    if start < 0:
        return False
    start += len(_SEAL_MARK)
    view = memoryview(content)
    digest = hashlib.sha256(view[:start])
    digest.update(_EMPTY_SEAL)
    digest.update(view[start + len(_EMPTY_SEAL) :])
    if digest.hexdigest().encode() != content[start : start + len(_EMPTY_SEAL)]:
        raise CheckpointError(
            "it is damaged, or was changed after its export (its SHA-256 is not the one inside)",
            where=where,
            fix="copy it again, or export it again",
        )
    return True


def _size(value: Any) -> Size:
    rows, cols = (int(number) for number in value)
    if rows < 1 or cols < 1:
        raise ValueError(f"a size must be >= 1, got {rows} x {cols}")
    return rows, cols


def _damaged(error: Exception, where: str | Path) -> CheckpointError:
    return CheckpointError(
        f"its metadata is damaged ({type(error).__name__}: {error})",
        where=where,
        fix="copy it again, or export it again",
    )
