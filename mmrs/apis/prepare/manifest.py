"""The manifest of a prepared set: what it was made of, how, and what came out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrs.apis.prepare.converter import Converter
from mmrs.apis.prepare.files import file_sha256, write_whole
from mmrs.apis.prepare.job import Plan, add_counts
from mmrs.apis.prepare.options import Options
from mmrs.apis.prepare.staging import MANIFEST
from mmrs.apis.progress import progress_bar
from mmrs.geo.source_file import is_archive
from mmrs.version import __version__

FORMAT = "mmrs.prepared/1"


def hash_sources(source: Path, is_read: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of each archive; plain files are hashed as they are read.

    Args:
        source: A folder or an archive.
        is_read: Tells by its name whether an archive found in the folder is read.
    """
    archives = [source] if source.is_file() else []
    if source.is_dir():
        archives = sorted(
            Path(parent, name)
            for parent, _, names in os.walk(source, followlinks=True)  # as the survey did
            for name in names
            if is_archive(name) and is_read(name) and Path(parent, name).is_file()
        )
    found = []
    with progress_bar("checksums") as show:
        for index, path in enumerate(archives):
            name = path.name if path == source else path.relative_to(source).as_posix()
            found.append({"name": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)})
            show(index + 1, len(archives), name)
    return found


def build_manifest(
    converter: Converter,
    plan: Plan,
    key: str,
    options: Options,
    sources: list[dict[str, Any]],
    records: list[dict[str, Any]],
    skipped: Mapping[str, str],
    extra: Sequence[str],
) -> dict[str, Any]:
    """Everything there is to know about a prepared set, ready for JSON."""
    parts: dict[str, dict[str, Any]] = {}
    for record in sorted(records, key=lambda record: _order(record["split"])):
        part = parts.setdefault(
            record["split"],
            {"images": [], "tiles": 0, "pixels": Counter(), "tile_pixels": Counter()},
        )
        part["images"].append(record["id"])
        part["tiles"] += len(record["tiles"]) or len(record.get("windows", ()))
        add_counts(part["pixels"], record.get("class_pixels", {}))
        add_counts(part["tile_pixels"], record.get("tile_class_pixels", {}))
    return {
        "format": FORMAT,
        "mmrs": __version__,
        "dataset": converter.name,
        "key": key,
        "options": json.loads(json.dumps(options.given(), default=str)),
        "licence": converter.licence,
        "origin": converter.where,
        "classes": {str(label): name for label, name in plan.classes.items()},
        "ignore": plan.ignore,
        "palette": {str(label): list(colour) for label, colour in plan.palette.items()},
        "config": plan.config,
        "notes": list(plan.notes),
        "sources": sources,
        "splits": {
            name: {
                "images": part["images"],
                "tiles": part["tiles"],
                # each pixel of a source image once; tiles may share some
                "class_pixels": {str(k): v for k, v in sorted(part["pixels"].items())},
                "tile_class_pixels": {str(k): v for k, v in sorted(part["tile_pixels"].items())},
            }
            for name, part in parts.items()
        },
        "unknown_pixels": sum(record.get("unknown_pixels", 0) for record in records),
        "skipped": dict(skipped),
        "lists": list(extra),
        "images": records,
    }


def _order(part: str) -> tuple[int, str]:
    """Training before validation before testing."""
    heads = ("train", "val", "test")
    return next((i for i, head in enumerate(heads) if part.startswith(head)), len(heads)), part


def write_manifest(root: Path, manifest: Mapping[str, Any]) -> None:
    """Write it, a line for each image."""
    head = {key: value for key, value in manifest.items() if key != "images"}
    text = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    lines = ",\n".join(json.dumps(image, ensure_ascii=False) for image in manifest["images"])
    write_whole(root / MANIFEST, f'{text},\n "images": [\n{lines}\n]\n}}\n'.encode())
