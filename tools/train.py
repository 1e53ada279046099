"""Train the model of a config."""

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
    """Parse the command line and train."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the latest checkpoint in the work dir"
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the batch, by the config's auto_scale_lr",
    )
    add_cfg_options(parser)
    add_launcher(parser)
    args = parser.parse_args(argv)

    from mmrs.apis.environment import prepare_process

    prepare_process(args.launcher, args.local_rank)
    from mmrs.apis.config.config_load import parse_cfg_options
    from mmrs.apis.train import train

    train(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        cfg_options=parse_cfg_options(args.cfg_options),
        launcher=args.launcher,
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
