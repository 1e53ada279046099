"""Scenes whose windows lie on several processes, brought together for counting."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, get_dist_info

from mmrs.engine.scene_stitcher import Scene
from mmrs.errors import DataError


class SceneExchange:
    """Keeps a process's parts of scenes on its disk, then merges those of all processes.

    A sampler deals the windows of a scene out to all processes, and none can say when the others
    are done with it. Memory stays that of one scene.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mmrs_scenes_")
        self._kept: dict[str, dict[str, Any]] = {}

    def keep(self, scene: Scene) -> None:
        """Put this process's part of a scene away."""
        folder = Path(self._folder.name) / str(len(self._kept))
        folder.mkdir()
        for (row, col), (votes, labels) in scene.blocks.items():
            np.savez(folder / f"{row}_{col}.npz", votes=votes, labels=labels)
        self._kept[scene.name] = {
            "folder": folder,
            "blocks": sorted(scene.blocks),
            "meta": scene.meta,
            "extent": scene.extent,
            "num_classes": scene.num_classes,
            "by_scores": scene.by_scores,
        }

    def merge(self, on_merged: Callable[[Scene], None]) -> None:
        """Merge all scenes, one after the other; every process must call this.

        Args:
            on_merged: Called with each scene in one of the processes.

        Raises:
            DataError: In every process: labels contradict each other, or some processes have
                logits and some have none.
        """
        try:
            contradictions = self._merge(on_merged)
        finally:
            self._folder.cleanup()
        if contradictions:
            raise DataError(
                f"the labels of overlapping windows contradict each other in {contradictions[0]}",
                fix="prepare the tiles again: one of them is not where its name says",
            )

    def _merge(self, on_merged: Callable[[Scene], None]) -> list[str]:
        rank, world_size = get_dist_info()
        everyone = all_gather_object(self._kept)
        if len({part["by_scores"] for kept in everyone for part in kept.values()}) > 1:
            raise DataError(
                "some windows come with logits and some without",
                fix="evaluate them with one model",
            )
        contradictions = []
        for number, name in enumerate(sorted({name for kept in everyone for name in kept})):
            parts = [kept[name] for kept in everyone if name in kept]
            scene = Scene(name, parts[0]["num_classes"], parts[0]["by_scores"], parts[0]["meta"])
            for part in parts:
                scene.extend(part["extent"])
            differ = torch.zeros(1, dtype=torch.int64)
            for key in sorted({key for part in parts for key in part["blocks"]}):
                differ += self._merge_block(scene, key)
                if number % world_size != rank:
                    del scene.blocks[key]
            all_reduce(differ)
            if differ:
                contradictions.append(f"{Path(name).name} ({int(differ)} pixels)")
            elif scene.blocks:
                on_merged(scene)
        return contradictions

    def _merge_block(self, scene: Scene, key: tuple[int, int]) -> int:
        """All-reduce one block into ``scene``; returns how many pixels contradict the others'."""
        mine = self._kept.get(scene.name)
        votes, labels = scene.block(key)
        if mine is not None and key in mine["blocks"]:
            with np.load(mine["folder"] / f"{key[0]}_{key[1]}.npz") as stored:
                votes, labels = stored["votes"], stored["labels"]
        all_votes, all_labels = torch.from_numpy(votes), torch.from_numpy(labels.copy())
        all_reduce(all_votes, op="sum" if scene.by_scores else "max")
        all_reduce(all_labels, op="max")
        merged = all_labels.numpy()
        scene.blocks[key] = (all_votes.numpy(), merged)
        return int(((labels >= 0) & (labels != merged)).sum())
