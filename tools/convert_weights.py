"""Turn a checkpoint into weights of a backbone: safetensors, and a JSON that says what they are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mmrs.apis.cli import add_cfg_options, make_parser, run

KINDS = ("auto", "mocov2", "segmentor", "torchvision", "timm", "mmseg-hrnet", "backbone")
EXAMPLES = """\
examples:
  convert_weights.py iter_2000.pth hiresnet.safetensors --backbone-config pretrain.py
  convert_weights.py resnet50.pth r50.safetensors --type mmrs.DilatedResNet --cfg-options depth=50
  convert_weights.py resnet50.pth r50_4b.safetensors --backbone-config seg.py --bands 4

More in docs/pretraining.md."""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, convert, report."""
    parser = make_parser("Turn a checkpoint into weights of a backbone, for an init_cfg.")
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a .pth or .safetensors")
    parser.add_argument("out", metavar="OUT.safetensors", help="the file to write")
    parser.add_argument(
        "--from", dest="source", choices=KINDS, default="auto", help="what the checkpoint is"
    )
    backbone = parser.add_mutually_exclusive_group()
    backbone.add_argument(
        "--backbone-config", metavar="CONFIG", help="config whose model.backbone they are for"
    )
    backbone.add_argument("--type", metavar="TYPE", help="backbone by name: mmrs.HiResNet")
    parser.add_argument(
        "--bands", type=int, metavar="N", help="of the images, where others than the config's"
    )
    parser.add_argument(
        "--source-bands",
        nargs="+",
        type=_band,
        metavar="I",
        help="for each of these the filter that is its own, from 0, or none: 2 1 0 none",
    )
    parser.add_argument(
        "--prefix", metavar="NAME", help="where the backbone's names begin in the checkpoint"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="write what fits, where tensors are missing or of another shape",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)

    # only now: --help and a mistyped option need neither torch nor mmseg
    from mmrs.apis.environment import prepare_process

    prepare_process()
    from mmrs.apis.config.config_load import parse_cfg_options
    from mmrs.apis.convert_weights import convert_weights

    convert_weights(
        args.checkpoint,
        args.out,
        source=args.source,
        backbone_config=args.backbone_config,
        backbone_type=args.type,
        cfg_options=parse_cfg_options(args.cfg_options),
        bands=args.bands,
        source_bands=args.source_bands,
        prefix=args.prefix,
        partial=args.partial,
    )


def _band(word: str) -> int | None:
    return None if word.lower() == "none" else int(word)


if __name__ == "__main__":
    sys.exit(run(main))
