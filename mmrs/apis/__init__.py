"""What users call: prediction, evaluation, the demo. The only layer where geo meets models.

What ``__all__`` names is had from here, and is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmrs.apis.scene.crf_settings import CRFSettings
    from mmrs.apis.scene.scene_settings import SceneOutputs
    from mmrs.apis.scene_prediction import ScenePrediction
    from mmrs.apis.scene_segmentor import SceneSegmentor

__all__ = ["CRFSettings", "SceneOutputs", "ScenePrediction", "SceneSegmentor"]

_HOMES = {
    "CRFSettings": "mmrs.apis.scene.crf_settings",
    "SceneOutputs": "mmrs.apis.scene.scene_settings",
    "ScenePrediction": "mmrs.apis.scene_prediction",
    "SceneSegmentor": "mmrs.apis.scene_segmentor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
