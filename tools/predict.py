"""Predict an image or GeoTIFF into a class map on the same grid."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmrs.apis.cli import make_parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, predict, say where the map is."""
    parser = make_parser("Predict an image or GeoTIFF of any size into a class map (GeoTIFF).")
    parser.add_argument("image", help="GeoTIFF, PNG, JPEG, ...")
    parser.add_argument("config", help="the model's config")
    parser.add_argument("checkpoint", help="its weights (.pth)")
    parser.add_argument("out", help="the class map to write (.tif)")
    parser.add_argument("--window", type=int, help="side of a window in pixels")
    steps = parser.add_mutually_exclusive_group()
    steps.add_argument("--stride", type=int, help="pixels from one window to the next")
    steps.add_argument("--overlap", type=int, help="pixels that neighbouring windows share")
    parser.add_argument("--batch-size", type=int, default=4, help="windows at a time")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; a GPU where there is one")
    parser.add_argument("--overlay", help="a picture to write too: image, map, both, legend (.png)")
    parser.add_argument(
        "--resample",
        action="store_true",
        help="read the image at the pixel size that the model was trained at",
    )
    parser.add_argument("--cfg-options", nargs="+", help="key=value of the config to override")
    args = parser.parse_args(argv)

    # only now: --help and a mistyped option need neither torch nor mmseg
    from mmrs.apis.environment import prepare_process

    prepare_process()
    from mmrs.apis.config_load import parse_cfg_options
    from mmrs.apis.predict import predict_file

    scene_map = predict_file(
        args.image,
        args.config,
        args.checkpoint,
        args.out,
        window=args.window,
        stride=args.stride,
        overlap=args.overlap,
        batch_size=args.batch_size,
        device=args.device,
        cfg_options=parse_cfg_options(args.cfg_options),
        overlay=args.overlay,
        resample=args.resample,
    )
    print(scene_map.summary())


if __name__ == "__main__":
    sys.exit(run(main))
