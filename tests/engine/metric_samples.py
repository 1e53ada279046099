"""Samples as MMEngine hands them to a metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

CLASSES = ("field", "water", "road")


def sample(prediction: Any, label: Any = None, name: str = "t0", **extra: Any) -> dict:
    """A sample; ``prediction`` of shape (C, H, W) is logits, whose largest one is predicted."""
    predicted = torch.tensor(np.asarray(prediction))
    data = {"img_path": f"img/{name}.png", "seg_map_path": f"ann/{name}.png", **extra}
    if predicted.ndim == 3:
        data["seg_logits"] = {"data": predicted}
        predicted = predicted.argmax(0)
    data["pred_sem_seg"] = {"data": predicted[None]}
    if label is not None:
        data["gt_sem_seg"] = {"data": torch.tensor(np.asarray(label))[None]}
    return data


def with_classes(metric: Any, classes: tuple[str, ...] = CLASSES) -> Any:
    """The metric, knowing the classes."""
    metric.dataset_meta = {"classes": classes}
    return metric


def evaluate(metric: Any, samples: list[dict]) -> dict[str, float]:
    """Scores of the samples in one process."""
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def windows_of(
    prediction: np.ndarray, label: np.ndarray, starts: Any, size: int, scene: str = "area1"
) -> list[dict]:
    """Tiles of a scene, named as MMSegmentation names them, at (row, col) ``starts``.

    Args:
        prediction: (H, W) ids, or (C, H, W) logits.
        label: (H, W) ids.
        starts: Upper left corners.
        size: Side of a window in pixels; cut at the scene's edge.
        scene: Its name.
    """
    found = []
    for row, col in starts:
        rows, cols = slice(row, row + size), slice(col, col + size)
        piece = label[rows, cols]
        name = f"{scene}_{col}_{row}_{col + piece.shape[1]}_{row + piece.shape[0]}"
        found.append(sample(prediction[..., rows, cols], piece, name))
    return found
