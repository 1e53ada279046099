"""The channel contract as a config states it: by the steps that load its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from mmengine.config import Config

from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.config.config_classes import leaf_datasets
from mmrs.apis.config.config_types import config_name
from mmrs.datasets.raster_scaling import given_scaling
from mmrs.errors import ConfigError

# Steps that change labels only, or where a pixel lies and not its value: scene prediction leaves
# them out.
LABELS = frozenset("CheckSample KeepLabels LoadAnnotations MapColors MapLabels".split())
GEOMETRY = frozenset("PackSegInputs Pad RandomFlip Resize ResizeToMultiple".split())


def read_contract(cfg: Config, split: Literal["train", "test"] = "test") -> ChannelContract:
    """Which bands, of which type and order, a config's pipeline feeds its model.

    Args:
        cfg: A whole config.
        split: Whose pipeline; ``test_pipeline`` where the test data set has none.

    Returns:
        What the config says; what only the data can tell is not known.

    Raises:
        ConfigError: The pipeline begins in a way whose bands are not known.
    """
    dataset = _first_dataset(cfg, split)
    pipeline = dataset.get("pipeline") or cfg.get(f"{split}_pipeline")
    model = cfg.model.get("module") or cfg.model  # test-time augmentation wraps it
    if type_name(dataset) in ("RasterSegDataset", "UnlabelledRasterDataset"):
        contract = _of_raster_dataset(dataset, model)
    elif type_name(dataset) == "MillionAIDDataset":  # it reads pictures itself, as they are
        contract = ChannelContract(model_bands(model))
    elif not pipeline:
        contract = ChannelContract(3, "uint8", "reversed")
    else:
        contract = _of_loader(pipeline[0], model, config_name(cfg), f"{split}_pipeline")
    return _with_preprocessor(contract, model.get("data_preprocessor") or {})


def check_windows_can_follow(cfg: Config) -> None:
    """Refuse a test pipeline that does to pixels what single windows of a scene cannot go through.

    Raises:
        ConfigError: Naming the step.
    """
    dataset = _first_dataset(cfg, "test")
    pipeline = dataset.get("pipeline") or cfg.get("test_pipeline") or []
    loads = type_name(dataset) != "RasterSegDataset"
    for step in pipeline[1:] if loads else pipeline:
        if type_name(step) not in LABELS | GEOMETRY:
            raise ConfigError(
                f"test_pipeline holds {type_name(step)}, which windows cannot go through",
                where=config_name(cfg),
                fix="leave it out of test_pipeline, or move it into the data preprocessor",
            )


def with_stated_scaling(contract: ChannelContract, cfg: Config) -> ChannelContract:
    """A contract whose scaling is not known, with the numbers that the config states, if it does.

    Raises:
        ConfigError: They are not as many as the bands.
    """
    options = _first_dataset(cfg, "test").get("scaling") or {}
    where = f"{config_name(cfg)}: test_dataloader.dataset.scaling"
    scaling = given_scaling(options, bands=contract.bands or 0, where=where)
    return contract if scaling is None else replace(contract, scaling=scaling, scaling_known=True)


def resizing(cfg: Config) -> str | None:
    """To what a test pipeline resizes its images, which windows of a scene are not; None: nothing.

    Most often the images have that size already.
    """
    dataset = _first_dataset(cfg, "test")
    for step in dataset.get("pipeline") or cfg.get("test_pipeline") or []:
        if type_name(step) == "Resize":
            scale, factor = step.get("scale"), step.get("scale_factor")
            if scale is not None:
                return "{} x {} px".format(*((scale, scale) if isinstance(scale, int) else scale))
            if factor not in (None, 1, (1, 1), [1, 1]):
                return f"{factor} of their size"
    return None


def loader_contract(step: Any) -> ChannelContract | None:
    """What a loading step takes without changing it; None where it takes anything.

    Args:
        step: A step of a pipeline, built or as a config.
    """
    name = type_name(step)
    if name == "LoadImageFromFile":
        if _get(step, "imdecode_backend", "cv2") == "tifffile":
            return None
        colour = _get(step, "color_type", "color")
        if colour == "grayscale":
            return ChannelContract(1, "uint8", "file")
        if colour == "color":
            return ChannelContract(3, "uint8", "reversed")
    return None


def type_name(step: Any) -> str:
    """The class of a step or data set, without its scope."""
    if isinstance(step, Mapping):
        kind = step.get("type", "")
        return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return type(step).__name__


def _of_loader(load: Any, model: Mapping, where: str, key: str) -> ChannelContract:
    name = type_name(load)
    contract = loader_contract(load)
    if contract is not None:
        return contract
    if name == "LoadImageFromFile" and load.get("imdecode_backend", "cv2") != "tifffile":
        raise ConfigError(
            f"{key} reads color_type={load.get('color_type')!r}, whose band order depends on the "
            "file",
            where=where,
            fix="use color_type='color', imdecode_backend='tifffile' or mmrs.LoadRaster",
        )
    if name in ("LoadImageFromFile", "LoadSingleRSImageFromFile", "LoadRaster"):
        chosen = load.get("bands") if name == "LoadRaster" else None
        file_bands = None if chosen is None else tuple(chosen)
        return ChannelContract(
            model_bands(model) if file_bands is None else len(file_bands),
            file_bands=file_bands,
            # it refuses gaps unless they are kept: none was in training, so they are to do no harm
            fills_gaps=name == "LoadRaster" and load.get("nodata", "error") != "keep",
        )
    raise ConfigError(
        f"{key} begins with {name}, whose band order is not known",
        where=where,
        fix="begin it with LoadImageFromFile, LoadSingleRSImageFromFile or mmrs.LoadRaster",
    )


def _of_raster_dataset(dataset: Mapping, model: Mapping) -> ChannelContract:
    chosen = dataset.get("bands")
    return ChannelContract(
        model_bands(model) if chosen is None else len(chosen),
        file_bands=None if chosen is None else tuple(chosen),
        scaling_known=dataset.get("scaling") is None,
        fills_gaps=True,
    )


def model_bands(model: Mapping) -> int:
    """How many bands a model's config takes: its means, else its backbone's ``in_channels``."""
    mean = (model.get("data_preprocessor") or {}).get("mean") or ()
    # one mean may stand for all bands
    declared = (model.get("backbone") or {}).get("in_channels", 3 if len(mean) < 2 else len(mean))
    return int(declared)


def _with_preprocessor(contract: ChannelContract, preprocessor: Mapping) -> ChannelContract:
    swaps = bool(preprocessor.get("bgr_to_rgb") or preprocessor.get("rgb_to_bgr"))
    return replace(
        contract,
        swaps=swaps and contract.bands == 3,  # of other numbers the stock preprocessor swaps none
        mean=_floats(preprocessor.get("mean")),
        std=_floats(preprocessor.get("std")),
    )


def _first_dataset(cfg: Config, split: str) -> Mapping:
    loader = cfg.get(f"{split}_dataloader") or {}
    for _, dataset in leaf_datasets(loader.get("dataset"), ""):
        return dict(dataset)
    return {}


def _get(step: Any, key: str, default: Any) -> Any:
    return step.get(key, default) if isinstance(step, Mapping) else getattr(step, key, default)


def _floats(values: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(float(value) for value in values or ())
