"""Evaluate a checkpoint on the test set of a config."""

from __future__ import annotations

import sys
from collections.abc import Sequence

try:
    from mmrs.apis.cli import add_cfg_options, add_launcher, make_parser, run
except ModuleNotFoundError as error:
    if error.name != "mmrs":
        raise
    sys.exit("error: mmrs is not installed. Fix: pip install -e '.[openmmlab]' in the checkout")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and evaluate."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--work-dir", help="folder for the log and the scores")
    parser.add_argument("--out", metavar="DIR", help="folder for the predicted maps")
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="SCORE",
        help="any of mIoU mF1 OA AA Kappa precision recall, and of bIoU bF1 (boundary IoU and F1); "
        "by default the config's, mIoU",
    )
    widths = parser.add_mutually_exclusive_group()
    widths.add_argument(
        "--boundary-px", type=float, metavar="PX", help="width of the boundary scores, in pixels"
    )
    widths.add_argument(
        "--boundary-m", type=float, metavar="M", help="the same in metres, by the images' gsd_m"
    )
    parser.add_argument(
        "--stitch",
        action="store_true",
        help="put overlapping windows of a scene together, and count each of its pixels once",
    )
    parser.add_argument("--confusion-matrix", metavar="CSV", help="file for the confusion matrix")
    parser.add_argument(
        "--loveda-submission",
        metavar="DIR",
        help="folder for LoveDA's test server: PNGs of ids 0-6 and submission.zip, no scores; set "
        "test_dataloader.dataset.data_prefix.img_path to the test images",
    )
    parser.add_argument("--show", action="store_true", help="show the predictions in a window")
    parser.add_argument("--show-dir", metavar="DIR", help="folder for pictures of the predictions")
    parser.add_argument(
        "--wait-time", type=float, default=2.0, help="how long a window stays, in seconds"
    )
    parser.add_argument("--tta", action="store_true", help="test-time augmentation")
    add_cfg_options(parser)
    add_launcher(parser)
    args = parser.parse_args(argv)

    from mmrs.apis.environment import prepare_process

    prepare_process(args.launcher, args.local_rank)
    from mmrs.apis.config.config_load import parse_cfg_options
    from mmrs.apis.test import test

    test(
        args.config,
        args.checkpoint,
        work_dir=args.work_dir,
        out=args.out,
        metrics=args.metrics,
        confusion_matrix=args.confusion_matrix,
        boundary_px=args.boundary_px,
        boundary_m=args.boundary_m,
        stitch=args.stitch,
        loveda_submission=args.loveda_submission,
        show=args.show,
        show_dir=args.show_dir,
        wait_time=args.wait_time,
        tta=args.tta,
        cfg_options=parse_cfg_options(args.cfg_options),
        launcher=args.launcher,
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
