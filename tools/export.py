"""Export a trained model into one ONNX file that predicts scenes without PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmrs.apis.cli import UsageError, add_cfg_options, make_parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, export, say how near the file is to PyTorch."""
    parser = make_parser(
        "Export a trained model into one ONNX file of any batch, height and width. It is written "
        "only where ONNX Runtime gives what PyTorch gives."
    )
    parser.add_argument("config", help="the model's config")
    parser.add_argument("checkpoint", help="its weights (.pth)")
    parser.add_argument("out", help="the file to write (.onnx)")
    parser.add_argument("--window", type=int, help="side of a window in pixels, for the file")
    parser.add_argument("--stride", type=int, help="pixels from one window to the next")
    parser.add_argument("--opset", type=int, help="version of ONNX's operators (18)")
    parser.add_argument(
        "--exporter",
        choices=("trace", "dynamo"),
        default="trace",
        help="of PyTorch; dynamo is newer and many times slower",
    )
    parser.add_argument(
        "--check-sizes",
        nargs="+",
        metavar="ROWSxCOLS",
        help="sizes at which to compare with PyTorch, such as 512x512 61x97",
    )
    parser.add_argument(
        "--without-crf",
        action="store_true",
        help="export the network of a model that a dense CRF follows; the CRF is left out",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    sizes = None if args.check_sizes is None else [_size(word) for word in args.check_sizes]

    # only now: --help and a mistyped option need neither torch nor mmseg
    from mmrs.apis.environment import prepare_process

    prepare_process()
    from mmrs.apis.config.config_load import parse_cfg_options
    from mmrs.apis.export import export_onnx
    from mmrs.apis.progress import progress_bar

    options = {} if args.opset is None else {"opset": args.opset}
    with progress_bar("comparing with PyTorch") as update:
        exported = export_onnx(
            args.config,
            args.checkpoint,
            args.out,
            window=args.window,
            stride=args.stride,
            exporter=args.exporter,
            check_sizes=sizes,
            without_crf=args.without_crf,
            cfg_options=parse_cfg_options(args.cfg_options),
            **options,
            progress=update,
        )
    print(exported.summary())


def _size(word: str) -> tuple[int, int]:
    rows, _, cols = word.lower().partition("x")
    if not (rows.isdecimal() and cols.isdecimal()):
        raise UsageError(f"--check-sizes takes ROWSxCOLS such as 61x97, got {word!r}")
    return int(rows), int(cols)


if __name__ == "__main__":
    sys.exit(run(main))
