"""Statistics of the bands and classes of a config's data, or of rasters."""

from __future__ import annotations

import sys
from collections.abc import Sequence

try:
    from mmrs.apis.cli import UsageError, add_cfg_options, make_parser, run
except ModuleNotFoundError as error:
    if error.name != "mmrs":
        raise
    sys.exit("error: mmrs is not installed. Fix: pip install -e '.[openmmlab]' in the checkout")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, count, print."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "inputs", nargs="+", help="a config file (.py), or rasters: paths, folders, globs"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), default="train")
    parser.add_argument("--bands", type=int, nargs="+", help="which, counted from 1")
    parser.add_argument("--out", metavar="JSON", help="write the numbers, for scaling=dict(stats=)")
    parser.add_argument("--picture", metavar="PNG", help="draw them")
    parser.add_argument("--weights", metavar="JSON", help="write class weights, for class_weight=")
    parser.add_argument(
        "--method",
        choices=("inverse", "median", "effective"),
        default="inverse",
        help="of the weights that are written",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    is_config = args.inputs[0].endswith(".py")
    if is_config and len(args.inputs) > 1:
        raise UsageError("one config at a time, or rasters", where=args.inputs[1])

    from mmrs.apis.environment import prepare_process

    prepare_process("none", 0)
    from mmrs.apis import dataset_stats as api
    from mmrs.apis.checks import stats_report as report
    from mmrs.apis.config.config_load import parse_cfg_options

    if is_config:
        found = api.stats_of_config(
            args.inputs[0],
            split=args.split,
            bands=args.bands,
            cfg_options=parse_cfg_options(args.cfg_options),
        )
    else:
        found = [api.stats_of_rasters(args.inputs, bands=args.bands)]
    for stats in found:
        print(stats.text())
    if args.out:
        api.write_stats(found, args.out)
    if args.picture:
        report.write_picture(found[0], args.picture)
    if args.weights:
        api.write_weights(found[0], args.method, args.weights)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
