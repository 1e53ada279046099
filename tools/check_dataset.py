"""Check the data of a config: every file, every finding, and a picture to look at."""

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
    """Parse the command line, check, print; 1 where there are errors."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config file; only its data sets are needed")
    parser.add_argument(
        "--split",
        nargs="+",
        choices=("train", "val", "test"),
        help="which data sets; by default all that the config has",
    )
    parser.add_argument(
        "--out", metavar="PNG", help="contact sheet: image, label and overlay of some pairs"
    )
    parser.add_argument(
        "--all", action="store_true", help="print every finding, not ten of each kind"
    )
    parser.add_argument(
        "--seconds", type=float, help="stop reading after so long; by default everything is read"
    )
    parser.add_argument("--workers", type=int, help="threads; by default one a core, 8 at most")
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers must be >= 1, got {args.workers}")

    from mmrs.apis.environment import prepare_process

    prepare_process("none", 0)
    from mmrs.apis.check_dataset import check_dataset
    from mmrs.apis.config.config_load import parse_cfg_options

    report = check_dataset(
        args.config,
        splits=args.split,
        out=args.out,
        seconds=args.seconds,
        workers=args.workers,
        cfg_options=parse_cfg_options(args.cfg_options),
    )
    print(report.text(show_all=args.all))
    return 1 if report.count("error") else 0


if __name__ == "__main__":
    sys.exit(run(main))
