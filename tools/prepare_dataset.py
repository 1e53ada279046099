"""Prepare a data set: from its official archive, or from your own files, to what configs read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

try:
    from mmrs.apis.cli import make_parser, run
except ModuleNotFoundError as error:
    if error.name != "mmrs":
        raise
    sys.exit("error: mmrs is not installed. Fix: pip install -e '.[openmmlab]' in the checkout")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and prepare."""
    parser = make_parser(__doc__)
    parser.add_argument("name", metavar="NAME", help="data set; `list` shows all, with their terms")
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="archive, or folder of it")
    parser.add_argument("out", metavar="OUT", nargs="?", help="folder to make")
    _add_common(parser)
    _add_sets(parser)
    _add_generic(parser)
    args = parser.parse_args(argv)

    from mmrs.apis.prepare.command import prepare_command

    return prepare_command(vars(args))


def _add_common(parser: argparse.ArgumentParser) -> None:
    tiles = parser.add_argument_group("tiles")
    tiles.add_argument("--tile", type=int, help="side of a tile in pixels; 0 keeps images whole")
    tiles.add_argument("--stride", type=int, help="pixels from a tile to the next")
    tiles.add_argument("--tiles-per-side", type=int, help="evenly spread tiles, not a stride")
    tiles.add_argument("--edge", choices=("flush", "drop"), help="last tiles flush, or none there")
    tiles.add_argument("--format", choices=("png", "tif"), help="of image tiles")
    work = parser.add_argument_group("run")
    work.add_argument("--workers", type=int, help="processes; 0 works in this one")
    work.add_argument("--overwrite", action="store_true", help="replace a prepared set")
    work.add_argument("--skip-bad", action="store_true", default=None,
                      help="leave out, and list, what is unreadable or has no partner")  # fmt: skip
    work.add_argument("--download", action="store_true", help="fetch the archives into SOURCE")
    work.add_argument("--max-size", type=float, help="GiB that archives may unpack to (1024)")
    work.add_argument("--max-ratio", type=float, help="unpacked over packed size (500)")
    work.add_argument("--max-files", type=int, help="files that archives may hold (3000000)")


def _add_sets(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels and bands")
    group.add_argument("--tolerance", type=int, help="difference of a channel to a class's colour")
    group.add_argument("--max-unknown-ratio", type=float, metavar="SHARE",
                       help="pixels of unknown colours that a file may have (0.01)")  # fmt: skip
    group.add_argument("--labels", choices=("full", "eroded", "both"), help="ISPRS")
    group.add_argument("--dsm", choices=("ignore", "stack"), help="ISPRS: surface model as a band")
    group.add_argument("--imagery", choices=("rgb", "irrg", "rgbir"), help="Potsdam")
    group.add_argument("--version", choices=("v1.2", "v2.0"), help="Mapillary Vistas")
    group.add_argument("--by-value", action="store_true", default=None,
                       help="WHDLD: take the ids of labels as they are")  # fmt: skip


def _add_generic(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("generic (some for paddy too)")
    group.add_argument("--images", metavar="FOLDER", help="folder name of the images")
    group.add_argument("--annotations", metavar="FOLDER", help="folder name of the labels")
    group.add_argument("--polygons", metavar="FILE", help="GeoPackage, GeoJSON or Shapefile")
    group.add_argument("--class-field", metavar="NAME", help="polygons' attribute with the class")
    group.add_argument("--classes", nargs="+", metavar="NAME", help="in the order of their ids")
    group.add_argument("--palette", nargs="+", metavar="NAME=R,G,B", help="colours of labels; "
                       "ignore=R,G,B for what is no class")  # fmt: skip
    group.add_argument("--label-map", nargs="+", metavar="RAW:ID", help="255:1 1:0 ...; "
                       "--label-map=-1:255,1:0 where one is negative")  # fmt: skip
    group.add_argument("--threshold", type=int, help="label values from here on are 1, others 0")
    group.add_argument("--bands", type=int, nargs="+", help="of the images, counted from 1")
    group.add_argument("--split-ratio", type=float, help="share of images that validate (0.2)")
    group.add_argument("--split-seed", type=int, help="another seed, another division")
    group.add_argument("--group", metavar="REGEX", help="images whose name gives the same group "
                       "go to one part")  # fmt: skip
    group.add_argument("--reproject", action="store_true", default=None,
                       help="bring labels to the grid of their images")  # fmt: skip


if __name__ == "__main__":
    sys.exit(run(main))
