"""Pretrained weights that an ``init_cfg`` names: found, checked, or told how to get them."""

from __future__ import annotations

import difflib
import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mmrs.compat import safe_load_checkpoint
from mmrs.errors import CheckpointError
from mmrs.weight_file import SUFFIX, load_safetensors

# the convention of torch.hub: name-<first digits of the SHA-256>.ext
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
RANDOM_START = (
    "start from random weights with --cfg-options model.pretrained=None "
    "model.backbone.init_cfg=None"
)


def look_after_pretrained_weights() -> None:
    """Make MMEngine load weights by URL through `load_url`, and know a wrong name for one.

    MMEngine's own way runs what a downloaded pickle holds, takes half a file of an earlier
    download for whole, and without a network ends in a traceback. Where none of a file's tensors
    fits, it says so in a warning and starts from random weights; here that is an error. Tools call
    this once.
    """
    from mmengine.runner import checkpoint

    _refuse_weights_that_fit_nowhere()
    loader = checkpoint.CheckpointLoader
    # the schemes for model zoos look this name up in their module
    checkpoint.load_from_http = load_url
    loader.register_scheme(prefixes=("http://", "https://"), loader=load_url, force=True)
    for prefixes, load, names in (
        (
            ("modelzoo://", "torchvision://"),
            checkpoint.load_from_torchvision,
            checkpoint.get_torchvision_models,
        ),
        (
            ("open-mmlab://", "openmmlab://"),
            checkpoint.load_from_openmmlab,
            checkpoint.get_external_models,
        ),
        ("mmcls://", checkpoint.load_from_mmcls, checkpoint.get_mmcls_models),
    ):
        named = _with_known_names(load, names)
        loader.register_scheme(prefixes=prefixes, loader=named, force=True)


class _NothingFitsError(Exception):
    """Number of tensors, name of the module."""


def _refuse_weights_that_fit_nowhere() -> None:
    from mmengine.model.weight_init import PretrainedInit
    from mmengine.runner import checkpoint

    load, initialise = checkpoint.load_state_dict, PretrainedInit.__call__
    if hasattr(initialise, "__wrapped__"):
        return

    def load_some(module: Any, state_dict: Any, *args: Any, **options: Any) -> Any:
        own = module.state_dict()
        if own and not any(k in own and own[k].shape == v.shape for k, v in state_dict.items()):
            raise _NothingFitsError(len(state_dict), type(module).__name__)
        return load(module, state_dict, *args, **options)

    @functools.wraps(initialise)
    def initialise_some(self: Any, module: Any) -> None:
        # load_from and resuming come by the same function, and have their own check
        checkpoint.load_state_dict = load_some
        try:
            initialise(self, module)
        except _NothingFitsError as error:
            count, name = error.args
            raise CheckpointError(
                f"none of its {count} tensors has the name and shape of one of {name}",
                where=self.checkpoint,
                fix=f"take the backbone out of it by tools/convert_weights.py, or {RANDOM_START}",
            ) from error
        except AssertionError as error:  # MMEngine's, of a prefix that no name has
            if "not in the pretrained model" not in str(error):
                raise
            raise CheckpointError(
                f"none of its tensors is under {self.prefix!r}",
                where=self.checkpoint,
                fix=f"mend prefix in init_cfg, or {RANDOM_START}",
            ) from error
        finally:
            checkpoint.load_state_dict = load

    PretrainedInit.__call__ = initialise_some


def register_safetensors() -> None:
    """Make MMEngine load ``.safetensors`` files; importing the models does it.

    Without it, an ``init_cfg`` that names one fails outside mmrs's tools, in ``torch.load``.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    # MMEngine matches prefixes as patterns; other places (http://, s3://) keep their loaders
    pattern = rf"(?!\S*://).*{re.escape(SUFFIX)}$"
    CheckpointLoader.register_scheme(prefixes=pattern, loader=load_from_safetensors, force=True)


def load_from_safetensors(filename: str, map_location: Any = None) -> Any:
    """Load a file of safetensors, as MMEngine's loaders are called."""
    return load_safetensors(filename, map_location)


def load_url(
    url: str, map_location: Any = None, model_dir: str | Path | None = None, progress: bool = True
) -> Any:
    """Load weights from the cache, or download them there first.

    Args:
        url: Of the file.
        map_location: As in ``torch.load``.
        model_dir: The cache; torch.hub's ``checkpoints`` by default (``TORCH_HOME`` moves it).
        progress: Show a bar while downloading.

    Returns:
        What the file holds, loaded as data only.

    Raises:
        CheckpointError: There is no network and no file; the file is not the one that its name
            promises (its SHA-256); or it would run code.
    """
    import torch
    from mmengine.dist import get_dist_info

    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    path = folder / Path(urlparse(url).path).name
    rank, world_size = get_dist_info()
    if rank == 0 and not path.is_file():
        _download(url, path, progress=progress)
    if world_size > 1:
        torch.distributed.barrier()
    if not path.is_file():  # another machine, whose cache the first process cannot fill
        _download(url, path, progress=False)
    _check_hash(path, url)
    return safe_load_checkpoint(path, map_location)


def _download(url: str, path: Path, *, progress: bool) -> None:
    import torch

    promised = _promised_hash(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # it writes beside the file and moves it there when whole
        torch.hub.download_url_to_file(url, str(path), promised, progress=progress)
    except OSError as error:  # URLError is one: no network, no such host, 404, no space
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CheckpointError(
            f"these pretrained weights cannot be downloaded ({reason})",
            where=url,
            fix=f"download that file on another machine and put it at {path}, or {RANDOM_START}",
        ) from error
    except RuntimeError as error:  # torch.hub: invalid hash value
        raise CheckpointError(
            f"the download is not what its name promises ({error})",
            where=url,
            fix=f"start again, download it elsewhere and put it at {path}, or {RANDOM_START}",
        ) from error


def _promised_hash(path: Path) -> str | None:
    found = _HASH_IN_NAME.search(path.name)
    return None if found is None else found.group(1)


def _check_hash(path: Path, url: str) -> None:
    promised = _promised_hash(path)
    if promised is None or not path.is_file():
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(promised):
        raise CheckpointError(
            f"its SHA-256 begins with {found[: len(promised)]}, its name promises {promised}: it "
            f"is damaged, or half a file ({path.stat().st_size} bytes)",
            where=path,
            fix=f"delete it and start again, or download {url} anew and put it there",
        )


def _with_known_names(
    load: Callable[..., Any], names: Callable[[], Iterable[str]]
) -> Callable[..., Any]:
    """Wrap the loader of a model zoo: a name that it does not know gets its nearest ones."""

    def load_known(filename: str, map_location: Any = None) -> Any:
        try:
            return load(filename, map_location=map_location)
        except KeyError as error:
            scheme, _, name = filename.partition("://")
            near = difflib.get_close_matches(name, list(names()), n=3, cutoff=0.5)
            raise CheckpointError(
                "MMEngine knows no weights of this name",
                where=filename,
                fix=f"did you mean {' or '.join(f'{scheme}://{n}' for n in near)}?"
                if near
                else f"name a file, or {RANDOM_START}",
            ) from error

    return load_known
