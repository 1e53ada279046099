"""Make and verify the splits by scene: ``python -m benchmarks.real.make_splits --data DIR``.

``--check`` only verifies the committed split against the pictures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.real.data import CLASSES, COLOURS, SPLIT_DIR, Sample, decode_mask, list_samples
from benchmarks.real.scenes import (
    NUM_ORIENTATIONS,
    Overlap,
    find_overlaps,
    group,
    high_pass,
    pairs_of_equal,
    rescore,
    split_groups,
)

VAL_RATIO = 0.2
SEED = 0
# candidates are searched on small pictures and scored again on pictures of twice the side, where
# the scores of all candidates leave a valley between chance and common ground
# (docs/real_input.md)
SEARCH_PX = {"cloud_shadow": 56, "googlemap_landcover": 64}
CANDIDATE_SCORE = 0.55
SAME_GROUND_SCORE = 0.5
MIN_SHARED_RATIO = {"cloud_shadow": 0.15, "googlemap_landcover": 0.1}
# of the web map: a block is about 150 m wide, and holds 16 chips of zoom 20
BLOCK_ZOOM = 18
# the largest gap between two serial numbers that may come from one strip of ground
SERIAL_GAP = 3


def scene_of(dataset: str, name: str) -> str | None:
    """The scene that a file name tells, or ``None``.

    ``cloud_shadow`` names tiles ``<scene>_<tile>_<part>`` or by four-digit serial numbers, whose
    first two digits tell the scene.  ``googlemap_landcover`` numbers its tiles only.
    ``oam_buildings`` names chips by their address in the web map's pyramid,
    ``OAM-<x>-<y>-<zoom>``: chips under one tile of zoom ``BLOCK_ZOOM`` are one scene, so chips of
    two zooms that show the same ground always are.
    """
    if dataset == "oam_buildings":
        x, y, zoom = map(int, name.split("-")[-3:])
        up = zoom - BLOCK_ZOOM
        return f"{name.split('/')[0]}-{x >> up}-{y >> up}"
    if dataset != "cloud_shadow":
        return None
    stem = name.split("/")[-1]
    if "_" in stem:
        return stem.split("_")[0]
    return f"serial-{stem[:2]}" if re.fullmatch(r"\d{4}", stem) else None


def serial_pairs(names: list[str], max_gap: int) -> list[tuple[int, int]]:
    """Links between long serial numbers (9 digits) that follow each other closely."""
    serials = sorted(
        (int(stem), i)
        for i, stem in enumerate(name.split("/")[-1] for name in names)
        if re.fullmatch(r"\d{9}", stem)
    )
    pairs = itertools.pairwise(serials)
    return [(i, j) for (a, i), (b, j) in pairs if b - a <= max_gap]


def read_grey(samples: list[Sample]) -> Tensor:
    """All pictures in grey, (N, H, W) float32."""
    arrays = [np.asarray(Image.open(s.image).convert("L"), dtype=np.float32) for s in samples]
    return torch.from_numpy(np.stack(arrays))


def overlaps_of(samples: list[Sample], dataset: str) -> list[Overlap]:
    """Every pair of pictures that share ground.

    ``oam_buildings`` needs no search: the chips' addresses tell.
    """
    if dataset == "oam_buildings":
        return overlaps_by_address([sample.name for sample in samples])
    grey, shared = read_grey(samples), MIN_SHARED_RATIO[dataset]
    candidates = find_overlaps(
        high_pass(grey, SEARCH_PX[dataset]),
        threshold=CANDIDATE_SCORE,
        min_shared_ratio=shared,
        orientations=range(NUM_ORIENTATIONS),
    )
    fine = rescore(high_pass(grey, 2 * SEARCH_PX[dataset]), candidates, min_shared_ratio=shared)
    return [o for o in fine if o.score >= SAME_GROUND_SCORE]


def overlaps_by_address(names: list[str]) -> list[Overlap]:
    """Pairs of chips of which one lies inside the other in the web map's pyramid."""
    places = [tuple(map(int, name.split("-")[-3:])) for name in names]
    found = []
    for i, j in itertools.permutations(range(len(names)), 2):
        (x, y, zoom), (other_x, other_y, other_zoom) = places[i], places[j]
        up = other_zoom - zoom
        same = up == 0 and i < j and (x, y) == (other_x, other_y)
        if same or (up > 0 and (x, y) == (other_x >> up, other_y >> up)):
            found.append(Overlap(*sorted((i, j)), 1.0, 0, 0.25**up))
    return found


def make(samples: list[Sample], dataset: str, overlaps: list[Overlap]) -> dict:
    """Group the pictures, split the groups, and describe the split."""
    names = [sample.name for sample in samples]
    pairs = [(o.first, o.second) for o in overlaps]
    pairs += pairs_of_equal([scene_of(dataset, name) for name in names])
    if dataset == "cloud_shadow":
        pairs += serial_pairs(names, SERIAL_GAP)
    groups = group(len(names), pairs)
    count = len(CLASSES[dataset])
    class_px = np.stack(
        [
            np.bincount(decode_mask(Image.open(s.mask), COLOURS[dataset]).ravel(), minlength=count)
            for s in samples
        ]
    )
    in_val = split_groups(groups, class_px, val_ratio=VAL_RATIO, seed=SEED)
    # a flipped copy adds no ground: in validation it would count its original twice
    dropped = [v and name.startswith("data_aug") for v, name in zip(in_val, names, strict=True)]
    parts = {"train": [not v for v in in_val], "val": in_val}
    document: dict = {"dataset": dataset, "seed": SEED, "num_groups": len(set(groups))}
    document["class_share"] = {}
    for part, members in parts.items():
        keep = [m and not d for m, d in zip(members, dropped, strict=True)]
        document[part] = [name for name, k in zip(names, keep, strict=True) if k]
        share = class_px[keep].sum(0) / class_px[keep].sum()
        document["class_share"][part] = [round(float(x), 4) for x in share]
    document["groups"] = groups_by_name(names, groups)
    document["largest_group"] = max(len(g) for g in document["groups"])
    return document


def groups_by_name(names: list[str], groups: list[int]) -> list[list[str]]:
    """Groups as lists of names, largest first."""
    members: dict[int, list[str]] = {}
    for name, g in zip(names, groups, strict=True):
        members.setdefault(g, []).append(name)
    return sorted(members.values(), key=lambda m: (-len(m), m))


def crossing(document: dict, samples: list[Sample], overlaps: list[Overlap]) -> list[Overlap]:
    """Overlapping pairs with one picture in training and the other in validation."""
    train, val = set(document["train"]), set(document["val"])
    result = []
    for o in overlaps:
        pair = {samples[o.first].name, samples[o.second].name}
        if pair & train and pair & val:
            result.append(o)
    return result


def crossing_given(samples: list[Sample], overlaps: list[Overlap]) -> int:
    """Overlapping pairs that cross the folders ``train`` and ``val`` as they come."""
    sides = [sample.name.split("/")[0] for sample in samples]
    return sum({sides[o.first], sides[o.second]} == {"train", "val"} for o in overlaps)


def main() -> None:
    """Make or check the splits, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--check", action="store_true", help="verify only")
    parser.add_argument("--datasets", nargs="+", choices=tuple(CLASSES), default=list(CLASSES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    for dataset in args.datasets:
        samples = list_samples(args.data, dataset)
        overlaps = overlaps_of(samples, dataset)
        path = SPLIT_DIR / f"{dataset}.json"
        if args.check:
            document = json.loads(path.read_text())
        else:
            document = make(samples, dataset, overlaps)
            document["num_overlapping_pairs"] = len(overlaps)
            document["pairs_crossing_folders_as_given"] = crossing_given(samples, overlaps)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(document, indent=1) + "\n")
        bad = crossing(document, samples, overlaps)
        print(
            f"{dataset}: {len(document['train'])} train, {len(document['val'])} val, "
            f"{document['num_groups']} groups (largest {document['largest_group']}), "
            f"{len(overlaps)} overlapping pairs, "
            f"{document['pairs_crossing_folders_as_given']} cross the folders as given, "
            f"{len(bad)} cross this split; class shares {document['class_share']}"
        )
        if bad:
            raise SystemExit(f"error: {dataset}: {len(bad)} overlapping pairs cross the split")


if __name__ == "__main__":
    main()
