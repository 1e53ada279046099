"""Score class maps of whole scenes against label rasters."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmrs.apis.cli import UsageError, make_parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, compare, print the tables."""
    parser = make_parser(
        "Score class maps (GeoTIFF) of scenes of any size against label rasters, each pixel once."
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="MAP LABEL",
        help="a class map and its label raster; more pairs are scored together",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="SCORE",
        default=["mIoU", "mF1", "OA"],
        help="any of mIoU mF1 OA AA Kappa precision recall, and of bIoU bF1 (boundary IoU and F1)",
    )
    parser.add_argument("--confusion-matrix", metavar="CSV", help="file for the confusion matrix")
    widths = parser.add_mutually_exclusive_group()
    widths.add_argument(
        "--boundary-px", type=float, metavar="PX", help="width of the boundary scores, in pixels"
    )
    widths.add_argument("--boundary-m", type=float, metavar="M", help="the same in metres")
    parser.add_argument("--classes", nargs="+", help="names in id order; by default the map's own")
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="CLASS", help="scored, but not in the means"
    )
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--reduce-zero-label",
        action="store_true",
        help="the labels' 0 is no data, 1 the first class",
    )
    labels.add_argument(
        "--label-map",
        nargs="+",
        metavar="OLD=NEW",
        help="label ids that are other classes; one below 0 is written --label-map=-1=255",
    )
    labels.add_argument(
        "--colour-labels",
        action="store_true",
        help="the labels are RGB pictures in the map's colours; black is no label",
    )
    parser.add_argument(
        "--ignore-index", type=int, default=255, help="the label that does not count (255)"
    )
    parser.add_argument(
        "--reproject", action="store_true", help="bring labels on another grid to the map's"
    )
    args = parser.parse_args(argv)
    if len(args.files) % 2:
        raise UsageError("files come in pairs, a map and its label", fix="name MAP LABEL")

    # only now: --help and a mistyped option need no library
    from mmrs.apis.environment import prepare_process

    prepare_process()
    from mmrs.apis.evaluate_scene import evaluate_scenes, parse_label_map
    from mmrs.apis.progress import progress_bar

    with progress_bar("blocks") as progress:
        scores = evaluate_scenes(
            list(zip(args.files[::2], args.files[1::2], strict=True)),
            metrics=args.metrics,
            classes=args.classes,
            exclude_from_mean=args.exclude,
            label_map=parse_label_map(args.label_map or ()),
            reduce_zero_label=args.reduce_zero_label,
            colour_labels=args.colour_labels,
            ignore_index=args.ignore_index,
            boundary_px=args.boundary_px,
            boundary_m=args.boundary_m,
            reproject=args.reproject,
            confusion_matrix=args.confusion_matrix,
            progress=progress,
        )
    print(scores.text())


if __name__ == "__main__":
    sys.exit(run(main))
