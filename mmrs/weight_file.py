"""Weights as safetensors: plain tensors, checked against a digest of their own, never code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmrs.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
# One key alone: the library writes several in an order that differs from run to run.
_META_KEY = "mmrs"
_AGAIN = "copy or convert it again, and compare its size with the original's"


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors, whatever their order.

    Args:
        tensors: By name; any type and device.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        head = [name, str(value.dtype), list(value.shape)]
        digest.update(json.dumps(head).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def safetensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The file of these tensors; the same tensors give the same bytes.

    Args:
        tensors: By name; moved to the CPU and copied, so that views and shared ones may be there.
    """
    import torch
    from safetensors.torch import save

    own = {
        name: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, value in tensors.items()
    }
    note = json.dumps({"tensors_sha256": tensors_sha256(own)})
    return save(own, metadata={_META_KEY: note})


def load_safetensors(path: str | Path, map_location: Any = "cpu") -> dict[str, Tensor]:
    """Read the tensors of a file.

    Args:
        path: A ``.safetensors`` of this tool or of another program. Where it carries the digest
            that `safetensors_bytes` writes, its tensors must be those.
        map_location: Where they go, a device or its name; anything else leaves them on the CPU.

    Returns:
        Tensor by name.

    Raises:
        CheckpointError: No such file; cut, changed, or of another format.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path).expanduser()
    if not path.is_file():
        raise CheckpointError("there is no such file", where=path, fix="check the path")
    try:
        content = path.read_bytes()
        tensors = load(content)
        promised = _promised(content)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        told = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"it is damaged or no safetensors file ({told}); expected a length of 8 bytes, a "
            "header of names, types and shapes, and the tensors",
            where=path,
            fix=_AGAIN,
        ) from error
    if promised is not None and tensors_sha256(tensors) != promised:
        raise CheckpointError(
            "it is damaged: its tensors are not those that were written (their SHA-256 should "
            f"begin with {promised[:12]})",
            where=path,
            fix=_AGAIN,
        )
    if isinstance(map_location, str | torch.device):
        tensors = {name: value.to(map_location) for name, value in tensors.items()}
    return tensors


def _promised(content: bytes) -> str | None:
    """The digest in the header; None in a file of another program."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    note = (header.get("__metadata__") or {}).get(_META_KEY)
    if note is None:
        return None
    told = json.loads(note)
    if not isinstance(told, dict):
        raise ValueError(f"its note is {note[:40]!r}")
    return str(told["tensors_sha256"])
