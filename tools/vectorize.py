"""Turn a class map into polygons, and count the areas of its classes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmrs.apis.cli import make_parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, vectorise, print the areas."""
    parser = make_parser("Turn a class map of any size into polygons, and count its areas.")
    parser.add_argument("map", help="the class map (GeoTIFF; as tools/predict.py writes it)")
    parser.add_argument("out", help="what to write: .gpkg, .geojson or .parquet (GeoParquet)")
    parser.add_argument("--classes", nargs="+", help="names in id order; by default the map's own")
    parser.add_argument("--confidence", metavar="TIF", help="the map's confidence, for its means")
    parser.add_argument("--areas", metavar="CSV", help="file for the areas of the classes")
    smallest = parser.add_mutually_exclusive_group()
    smallest.add_argument(
        "--min-area-m2",
        type=float,
        default=0,
        metavar="M2",
        help="smaller regions go to the neighbour with the longest common border",
    )
    smallest.add_argument(
        "--min-area-px", type=float, default=0, metavar="PX", help="the same in pixels"
    )
    parser.add_argument(
        "--drop-small", action="store_true", help="smaller regions become nodata instead"
    )
    tolerances = parser.add_mutually_exclusive_group()
    tolerances.add_argument(
        "--simplify-m",
        type=float,
        default=0,
        metavar="M",
        help="how far simpler borders may lie from the pixels' sides; neighbours share them",
    )
    tolerances.add_argument(
        "--simplify-px", type=float, default=0, metavar="PX", help="the same in pixels"
    )
    parser.add_argument(
        "--simplify-outline", action="store_true", help="borders with nodata become simpler too"
    )
    args = parser.parse_args(argv)
    if args.drop_small and not (args.min_area_m2 or args.min_area_px):
        parser.error("--drop-small goes with --min-area-m2 or --min-area-px")
    if args.simplify_outline and not (args.simplify_m or args.simplify_px):
        parser.error("--simplify-outline goes with --simplify-m or --simplify-px")

    # only now: --help and a mistyped option need no library
    from mmrs.apis.progress import progress_bar
    from mmrs.apis.vectorize import VectorOptions, vectorize

    options = VectorOptions(
        min_area_m2=args.min_area_m2,
        min_area_px=args.min_area_px,
        simplify_m=args.simplify_m,
        simplify_px=args.simplify_px,
        keep_outline=not args.simplify_outline,
        small="drop" if args.drop_small else "merge",
    )
    with progress_bar("rows") as progress:
        done = vectorize(
            args.map,
            args.out,
            classes=args.classes,
            confidence=args.confidence,
            options=options,
            areas=args.areas,
            progress=progress,
        )
    print(done.text())


if __name__ == "__main__":
    sys.exit(run(main))
