"""How scenes are predicted, and what a map depends on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmrs.apis.scene.crf_settings import CRFSettings
from mmrs.apis.scene.scene_stream import Scene
from mmrs.errors import OutputError
from mmrs.geo.array_raster import ArrayRaster
from mmrs.geo.blending import BlendKind
from mmrs.geo.maps.raster_output import Compression, Format, Overviews
from mmrs.geo.polygons.vector_options import VectorOptions
from mmrs.geo.raster import Raster
from mmrs.geo.raster_state import place_state, raster_state
from mmrs.geo.rows.scene_rows import Wanted
from mmrs.geo.rows.score_codes import ScoreType
from mmrs.version import __version__


@dataclass(frozen=True)
class SceneOutputs:
    """Which files are written of a scene, all beside its class map.

    Attributes:
        format: Of the rasters: ``gtiff`` (tiled, BigTIFF where needed) or ``cog``.
        compress: Of the rasters: ``deflate``, ``zstd``, ``lzw`` or ``none``.
        overviews: Smaller copies inside the rasters: ``nearest``, ``mode`` or ``none``.
        confidence: The largest probability, ``NAME_confidence.tif``.
        entropy: The Shannon entropy, ``NAME_entropy.tif``.
        probabilities: One band a class, ``NAME_probabilities.tif``.
        score_dtype: How these are stored.
        vectors: Suffix of the polygons to write, such as ``.gpkg``; None for none.
        min_area_m2: Of polygons, see ``mmrs.geo.polygons.vector_options``; or
        min_area_px: in pixels.
        simplify_m: Tolerance for simpler borders of polygons, likewise; or
        simplify_px: in pixels. 0 follows the sides of the pixels.
        areas: Areas of the classes, ``NAME_areas.csv``.
        overlay: A picture: image, map, both, legend, ``NAME.png``.
    """

    format: Format = "gtiff"
    compress: Compression = "deflate"
    overviews: Overviews = "nearest"
    confidence: bool = False
    entropy: bool = False
    probabilities: bool = False
    score_dtype: ScoreType = "uint8"
    vectors: str | None = None
    min_area_m2: float = 0.0
    min_area_px: float = 0.0
    simplify_m: float = 0.0
    simplify_px: float = 0.0
    areas: bool = False
    overlay: bool = False

    @property
    def wanted(self) -> Wanted:
        """What is kept of the probabilities while a scene is predicted."""
        # polygons carry their mean confidence
        return Wanted(
            confidence=self.confidence or self.vectors is not None,
            entropy=self.entropy,
            probabilities=self.probabilities,
        )

    @property
    def vector_options(self) -> VectorOptions:
        """How the map becomes polygons.

        Raises:
            ConfigError: They have no meaning.
        """
        return VectorOptions(
            min_area_m2=self.min_area_m2,
            min_area_px=self.min_area_px,
            simplify_m=self.simplify_m,
            simplify_px=self.simplify_px,
        )

    def paths(self, out: Path) -> dict[str, Path]:
        """The files beside a class map, by what they hold."""
        chosen = {
            name: out.with_name(f"{out.stem}_{name}.tif")
            for name in ("confidence", "entropy", "probabilities")
            if getattr(self, name)
        }
        if self.vectors is not None:
            chosen["vectors"] = out.with_suffix(self.vectors)
        if self.areas:
            chosen["areas"] = out.with_name(f"{out.stem}_areas.csv")
        if self.overlay:
            chosen["overlay"] = out.with_suffix(".png")
        return chosen


@dataclass(frozen=True)
class Settings:
    """How scenes are predicted.

    Attributes:
        batch_size: Windows in one call of the model.
        blend: How overlapping windows are mixed.
        resample: Read scenes at the pixel size that the model was trained at.
        resume: Go on with what an interrupted run left.
        skip_bad: Go on with the other scenes where one cannot be read.
        outputs: What is written of each scene.
        crf: A dense CRF over the blended probabilities; None for none.
        model: What tells this model from another, for a resume.
    """

    batch_size: int = 4
    blend: BlendKind = "cosine"
    resample: bool = False
    resume: bool = False
    skip_bad: bool = False
    outputs: SceneOutputs = field(default_factory=SceneOutputs)
    crf: CRFSettings | None = None
    model: Mapping[str, str | int] = field(default_factory=dict)


def scene_fingerprint(
    scene: Scene, settings: Settings, source: Raster | None = None
) -> dict[str, Any]:
    """All that decides what a scene's map holds, and where it lies.

    Args:
        scene: The scene.
        settings: How it is predicted.
        source: The scene on its own grid, where it is open anyway.

    Raises:
        DataError: The scene cannot be read any more.
        OutputError: It is gone.
    """
    plan = scene.plan
    return {
        "mmrs": __version__,
        **{f"model {key}": value for key, value in settings.model.items()},
        **_image_fingerprint(scene, settings, source),
        "windows": [plan.window_height, plan.window_width],
        "strides": [list(plan.row_starts[:2]), list(plan.col_starts[:2])],
        "blend": settings.blend,
        "batch size": settings.batch_size,
        "resampled": settings.resample,
        **({} if settings.crf is None else {"crf": asdict(settings.crf)}),
    }


def _image_fingerprint(scene: Scene, settings: Settings, source: Raster | None) -> dict[str, Any]:
    if isinstance(scene.image, ArrayRaster):
        place = place_state(scene.image.georeference)
        return {"image": scene.image.fingerprint(), "place": place}
    if isinstance(scene.image, Raster) and scene.image.in_memory:
        return {"image": [str(scene.image.path)]}  # nothing goes on from there: see `plan_scene`
    try:
        path = scene.image.path if isinstance(scene.image, Raster) else scene.image
        with Raster(path) if source is None else nullcontext(source) as raster:
            return raster_state(raster, overviews=settings.resample)
    except OSError as error:
        raise OutputError(f"its image {scene.image} is gone", where=str(scene.out)) from error
