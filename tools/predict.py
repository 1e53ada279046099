"""Predict scenes of any size into class maps on the same grids."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mmrs.apis.cli import make_parser, run

USAGE = """\
%(prog)s IMAGE CONFIG CHECKPOINT OUT [options]
       %(prog)s IMAGE MODEL.onnx OUT [options]"""
EXAMPLES = """\
examples:
  predict.py scene.tif config.py weights.pth map.tif
  predict.py scenes/ model.onnx maps/ --resume          # a folder, mirrored in maps/
  predict.py 'scenes/**/*.jp2' model.onnx maps/         # a pattern (in quotes)
  predict.py list.txt model.onnx maps/ --skip-bad       # one path a line
  torchrun --nproc_per_node=4 tools/predict.py ...      # the same on four GPUs

More in docs/predict.md."""


def parser_of_predict() -> argparse.ArgumentParser:
    """Return the parser; it imports nothing heavy."""
    parser = make_parser("Predict scenes of any size into class maps (GeoTIFF) on their grids.")
    parser.usage, parser.epilog = USAGE, EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "image",
        metavar="IMAGE",
        help="a GeoTIFF, JP2, PNG, ...; a folder; a pattern; a list (.txt)",
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="+", help="config and checkpoint, or one .onnx file"
    )
    parser.add_argument("out", metavar="OUT", help="the class map (.tif), or a folder for them")
    _add_windows(parser.add_argument_group("windows"))
    _add_model(parser.add_argument_group("the model"))
    _add_outputs(parser.add_argument_group("outputs, beside the class map NAME.tif"))
    _add_run(parser.add_argument_group("the run"))
    return parser


def _add_windows(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--window", type=int, metavar="PX", help="side of a window; the model's own")
    steps = group.add_mutually_exclusive_group()
    steps.add_argument(
        "--stride", type=int, metavar="PX", help="from one window to the next; half a window"
    )
    steps.add_argument("--overlap", type=int, metavar="PX", help="that neighbours share, instead")
    group.add_argument("--batch-size", type=int, default=4, metavar="N", help="windows at a time")
    group.add_argument(
        "--blend",
        choices=("cosine", "gaussian", "flat"),
        default="cosine",
        help="how windows are mixed where they overlap",
    )
    group.add_argument(
        "--crf", action="store_true", help="sharpen borders by a dense CRF over the blended scores"
    )
    group.add_argument(
        "--crf-halo", type=int, metavar="PX", help="what a tile of it sees around it; 160"
    )
    group.add_argument(
        "--crf-scale",
        type=float,
        metavar="F",
        help="what brings values to 0 .. 255 for it, where they are not of 8 bits: 0.0623 of 12",
    )
    group.add_argument(
        "--resample",
        action="store_true",
        help="read images at the pixel size that the model was trained at",
    )


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", help="cpu, cuda, cuda:1, ...; a GPU where there is one")
    group.add_argument(
        "--tta",
        choices=("none", "flips", "d4"),
        default="none",
        help="average over mirrored windows (4 passes), or turned ones too (8)",
    )
    group.add_argument(
        "--scales",
        type=float,
        nargs="+",
        default=(1.0,),
        metavar="S",
        help="average over windows of these sizes: 0.75 1 1.25",
    )
    group.add_argument("--amp", choices=("bf16", "fp16"), help="compute in half precision")
    group.add_argument("--compile", action="store_true", help="compile it by torch.compile")
    group.add_argument("--channels-last", action="store_true", help="lay it out channels last")
    group.add_argument(
        "--cfg-options", nargs="+", default=(), metavar="KEY=VALUE", help="override config keys"
    )


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--format", choices=("gtiff", "cog"), default="gtiff", help="of rasters")
    group.add_argument(
        "--compress", choices=("deflate", "zstd", "lzw", "none"), default="deflate", help="likewise"
    )
    group.add_argument(
        "--overviews",
        choices=("nearest", "mode", "none"),
        default="nearest",
        help="smaller copies in them: a pixel of those it stands for, or the most frequent",
    )
    group.add_argument(
        "--confidence", action="store_true", help="largest probability, NAME_confidence.tif"
    )
    group.add_argument("--entropy", action="store_true", help="0 sure to 1, NAME_entropy.tif")
    group.add_argument(
        "--probabilities", action="store_true", help="a band a class, NAME_probabilities.tif"
    )
    group.add_argument(
        "--score-dtype",
        choices=("uint8", "uint16", "float32"),
        default="uint8",
        help="how these three are stored: steps of 0.004, of 0.0001, or as they are",
    )
    group.add_argument(
        "--vectors",
        choices=("gpkg", "geojson", "parquet"),
        help="polygons with class, area and mean confidence, NAME.gpkg, ...",
    )
    areas = group.add_mutually_exclusive_group()
    areas.add_argument(
        "--min-area-m2", type=float, default=0.0, metavar="M2", help="smaller ones join a neighbour"
    )
    areas.add_argument(
        "--min-area-px", type=float, default=0.0, metavar="PX", help="the same in pixels"
    )
    borders = group.add_mutually_exclusive_group()
    borders.add_argument(
        "--simplify-m", type=float, default=0.0, metavar="M", help="simplify shared borders by this"
    )
    borders.add_argument(
        "--simplify-px", type=float, default=0.0, metavar="PX", help="the same in pixels"
    )
    group.add_argument("--areas", action="store_true", help="area of each class, NAME_areas.csv")
    group.add_argument(
        "--overlay",
        metavar="PATH",
        help="picture of image, map and legend: a .png, or a folder where there are several scenes",
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--resume", action="store_true", help="go on with what an interrupted run left"
    )
    group.add_argument(
        "--skip-bad",
        action="store_true",
        help="go on where a scene cannot be read; the exit status is then 1",
    )
    group.add_argument(
        "--launcher",
        choices=("none", "pytorch"),
        default="none",
        help="pytorch: insist on torchrun's processes, which are noticed anyway",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, predict, say where the maps are."""
    parser = parser_of_predict()
    words = sys.argv[1:] if argv is None else list(argv)
    # options may stand between the files; argparse loses a file there where -- is used
    args = (parser.parse_args if "--" in words else parser.parse_intermixed_args)(words)
    if not args.crf and (args.crf_halo, args.crf_scale) != (None, None):
        parser.error("--crf-halo and --crf-scale go with --crf")

    # only now: --help and a mistyped option need no model
    from mmrs.apis.model_choice import ModelChoice
    from mmrs.apis.predict_command import predict_command
    from mmrs.apis.scene.crf_settings import CRFSettings
    from mmrs.apis.scene.scene_settings import SceneOutputs

    return predict_command(
        args.image,
        args.out,
        ModelChoice(
            args.model,
            device=args.device,
            cfg_options=args.cfg_options,
            amp=args.amp,
            compile=args.compile,
            channels_last=args.channels_last,
            tta=args.tta,
            scales=args.scales,
        ),
        window=args.window,
        stride=args.stride,
        overlap=args.overlap,
        batch_size=args.batch_size,
        blend=args.blend,
        resample=args.resample,
        resume=args.resume,
        skip_bad=args.skip_bad,
        crf=CRFSettings(halo_px=args.crf_halo, color_scale=args.crf_scale) if args.crf else None,
        outputs=SceneOutputs(
            format=args.format,
            compress=args.compress,
            overviews=args.overviews,
            confidence=args.confidence,
            entropy=args.entropy,
            probabilities=args.probabilities,
            score_dtype=args.score_dtype,
            vectors=None if args.vectors is None else f".{args.vectors}",
            min_area_m2=args.min_area_m2,
            min_area_px=args.min_area_px,
            simplify_m=args.simplify_m,
            simplify_px=args.simplify_px,
            areas=args.areas,
        ),
        overlay=args.overlay,
        launcher=args.launcher,
    )


if __name__ == "__main__":
    sys.exit(run(main))
