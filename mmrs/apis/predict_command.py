"""What ``tools/predict.py`` does: scenes and a model in, maps and a few lines out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import rasterio

from mmrs.apis.cli import UsageError
from mmrs.apis.model_choice import ModelChoice
from mmrs.apis.overlay import write_overlay
from mmrs.apis.predict import SceneMap, predict_scene, predict_scenes
from mmrs.apis.progress import progress_bar
from mmrs.apis.scene.crf_settings import CRFSettings
from mmrs.apis.scene.end_on_signals import end_on_signals
from mmrs.apis.scene.rank_group import RankGroup
from mmrs.apis.scene.rank_join import is_one_of_several, is_started_by_torchrun, join_ranks
from mmrs.apis.scene.scene_list import Pair, expand_scenes, is_single
from mmrs.apis.scene.scene_outputs import check_outputs
from mmrs.apis.scene.scene_ranks import run_on_ranks
from mmrs.apis.scene.scene_resume import run_scenes
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.apis.window.window_protocol import Size, WindowModel, as_size, stride_of
from mmrs.errors import ConfigError, EnvironmentError, OutputError
from mmrs.geo.atomic import make_folder
from mmrs.geo.blending import BlendKind
from mmrs.geo.polygons.vector_options import VectorOptions
from mmrs.geo.raster import Raster

EXIT_SKIPPED = 1


def predict_command(
    image: str,
    out: str,
    model: ModelChoice,
    *,
    window: int | None = None,
    stride: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    blend: BlendKind = "cosine",
    resample: bool = False,
    resume: bool = False,
    skip_bad: bool = False,
    crf: CRFSettings | None = None,
    outputs: SceneOutputs | None = None,
    overlay: str | None = None,
    launcher: str = "none",
) -> int:
    """Predict one scene or many, say what came of each and of all.

    Args:
        image: As of `expand_scenes`.
        out: Likewise.
        model: What predicts.
        window: As of `predict_scenes`.
        stride: Likewise.
        overlap: Pixels that neighbouring windows share, instead of ``stride``.
        batch_size: As of `predict_scenes`.
        blend: Likewise.
        resample: Likewise.
        resume: Likewise.
        skip_bad: Likewise.
        crf: Likewise.
        outputs: Likewise.
        overlay: Of one scene: a picture to write too (``.png``). Of several: a folder for them.
        launcher: ``pytorch``: this must be one of several processes. Where the variables of
            ``torchrun`` are there, it is one of them anyway.

    Returns:
        Exit status: 0, or 1 where scenes were skipped.

    Raises:
        MmrsError: What is wrong, before a model is loaded where none is needed to see it.
    """
    begin = time.monotonic()
    outputs = outputs or SceneOutputs()
    with end_on_signals(), _several_processes(launcher) as group:
        quiet_but_first(group)
        model.check()
        _check_numbers(batch_size=batch_size, window=window, stride=stride)
        _check_vector_options(outputs)
        pairs = expand_scenes(image, out)
        check_outputs(pairs, outputs)
        single = is_single(image)
        pictures = _pictures(pairs, overlay, None if single else out)
        if single:
            with rasterio.Env(), Raster(image):
                pass
        loaded = (model if group is None else model.on_own_device()).load()
        for picture in pictures.values():
            make_folder(picture)  # a place that cannot be written is told before hours of work
        with progress_bar("windows") as progress:
            maps = predict_scenes(
                pairs,
                loaded,
                window=window,
                stride=_stride(loaded, window, stride, overlap),
                batch_size=batch_size,
                blend=blend,
                resample=resample,
                resume=resume,
                skip_bad=skip_bad,
                crf=crf,
                outputs=outputs,
                progress=progress,
                run=run_scenes if group is None else partial(run_on_ranks, group),
            )
        _write_pictures(maps, pairs, pictures, loaded)
    if group is not None and group.rank:
        return 0  # the first process has all
    return _tell(maps, len(pairs), time.monotonic() - begin, resumed=resume)


def predict_file(
    image: str | Path,
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    *,
    window: int | None = None,
    stride: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    device: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    overlay: str | Path | None = None,
    resample: bool = False,
) -> SceneMap:
    """Load a trained model and predict one scene, showing the progress.

    Args:
        image: As of `predict_scene`.
        config: The model's config.
        checkpoint: Its weights.
        out: As of `predict_scene`.
        window: Likewise.
        stride: Likewise.
        overlap: Pixels that neighbouring windows share, instead of ``stride``.
        batch_size: As of `predict_scene`.
        device: ``cpu``, ``cuda``, ...; by default a GPU where there is one.
        cfg_options: Keys of the config to override.
        overlay: As of `predict_scene`.
        resample: Likewise.

    Raises:
        MmrsError: As `predict_scene` and `load_window_model`.
    """
    # what needs no model is refused before one is loaded
    with rasterio.Env(), Raster(image):
        check_outputs([(Path(image), Path(out))], SceneOutputs())
        _pictures([(Path(image), Path(out))], overlay, None)
    from mmrs.apis.window.window_model import load_window_model

    model = load_window_model(
        config,
        checkpoint,
        device=device,
        cfg_options=None if cfg_options is None else {**cfg_options},
    )
    with progress_bar("windows") as progress:
        return predict_scene(
            image,
            out,
            model,
            window=window,
            stride=_stride(model, window, stride, overlap),
            batch_size=batch_size,
            overlay=overlay,
            resample=resample,
            progress=progress,
        )


def quiet_but_first(group: RankGroup | None) -> None:
    """Have one process of several say what all would."""
    if group is not None and group.rank:
        logging.getLogger("mmrs").setLevel(logging.CRITICAL)


@contextmanager
def _several_processes(launcher: str) -> Iterator[RankGroup | None]:
    """The other processes that this one works with, if there are any."""
    if launcher != "none" and not is_started_by_torchrun():
        raise EnvironmentError(
            "this process was not started by torchrun",
            where=f"--launcher {launcher}",
            fix="torchrun --nproc_per_node=2 tools/predict.py ..., or leave it out",
        )
    if not is_one_of_several():
        yield None
        return
    with join_ranks() as group:
        yield group


def _check_numbers(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ConfigError(f"must be >= 1, got {number}", where=f"--{name.replace('_', '-')}")


def _check_vector_options(outputs: SceneOutputs) -> None:
    # asked for, they refuse what has no meaning
    if outputs.vectors is None and outputs.vector_options != VectorOptions():
        raise UsageError(
            "smallest areas and simpler borders are of polygons, and none are asked for",
            fix="add --vectors gpkg, or leave --min-area-... and --simplify-... out",
        )


def _stride(
    model: WindowModel, window: int | None, stride: int | None, overlap: int | None
) -> int | Size | None:
    if overlap is None:
        return stride
    return stride_of(model.window if window is None else as_size(window), overlap)


def _pictures(
    pairs: list[Pair], overlay: str | Path | None, folder: str | Path | None
) -> dict[Path, Path]:
    """The picture of each class map; ``folder`` holds the maps where there are several."""
    if overlay is None:
        return {}
    path = Path(overlay)
    if folder is None:
        if path.suffix.lower() != ".png":
            raise OutputError("the overlay is a PNG", where=overlay, fix="end its name in .png")
        pictures = {pairs[0][1]: path}
    else:
        if path.suffix.lower() == ".png" or path.is_file():
            raise OutputError(
                "several scenes need a folder for their pictures", where=overlay, fix="name one"
            )
        pictures = {out: path / out.relative_to(folder).with_suffix(".png") for _, out in pairs}
    others = {each.resolve() for pair in pairs for each in pair}
    for picture in pictures.values():
        if picture.resolve() in others:
            raise OutputError("would overwrite another file of this run", where=picture)
    return pictures


def _write_pictures(
    maps: list[SceneMap], pairs: list[Pair], pictures: dict[Path, Path], model: WindowModel
) -> None:
    images = {out: image for image, out in pairs}
    for written in maps:
        if written.path in pictures:
            write_overlay(
                images[written.path],
                written.path,
                pictures[written.path],
                classes=model.classes,
                palette=model.palette,
            )


def _tell(maps: list[SceneMap], planned: int, seconds: float, *, resumed: bool) -> int:
    for written in maps:
        print(written.summary())
    skipped = planned - len(maps)
    megapixels = sum(sum(written.pixels) + written.nodata_pixels for written in maps) / 1e6
    words = [
        f"{len(maps)} scene{'' if len(maps) == 1 else 's'}",
        f"{megapixels:.1f} Mpx",
        f"{seconds:.1f} s",
    ]
    if not resumed:  # else some were there before
        words.append(f"{megapixels / max(seconds, 1e-9):.2f} Mpx/s")
    if skipped:
        words.insert(1, f"{skipped} skipped (see above; exit status {EXIT_SKIPPED})")
    print(", ".join(words))
    return EXIT_SKIPPED if skipped else 0
