"""The contract in real runs: trained on four bands of 16 bits, tested, predicted, fine-tuned."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config

from mmrs.apis.channels.channel_contract import META_KEY
from mmrs.apis.predict_command import predict_file
from mmrs.apis.scene.scene_input import open_scene
from mmrs.apis.test import test as evaluate
from mmrs.apis.train import train
from mmrs.errors import CheckpointError, ConfigError, DataError, MmrsError
from mmrs.geo.ground_sampling import GroundSampling
from mmrs.geo.raster import Raster
from mmrs.geo.resampled import nearest_index, resampled_shape
from tests.apis.tiny_run import CLASSES, PALETTE, tiny_config, write_config, write_pairs

NAMES = ("red", "green", "blue", "nir")
SCALING = {"type": "minmax", "min": 0, "max": 4000}


def write_scene(
    path: Path, *, bands: int = 4, dtype: str = "uint16", names=NAMES, gsd_m: float = 0.5,
    size: tuple[int, int] = (40, 36), labels: Path | None = None, seed: int = 0,
) -> Path:  # fmt: skip
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, 3, (5, 4)), np.ones((size[0] // 5, size[1] // 4), int))
    pixels = np.stack([ids * 900 + 100 * band for band in range(bands)])
    pixels = pixels + rng.integers(0, 300, pixels.shape)
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(gsd_m, 0, 5e5, 0, -gsd_m, 5e6)}
    shape = {"height": size[0], "width": size[1]}
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, dtype=dtype, photometric="MINISBLACK",
        **place, **shape,
    ) as dataset:  # fmt: skip
        dataset.write(pixels.astype(dtype))
        if names:
            dataset.descriptions = names
    if labels is not None:
        with rasterio.open(
            labels, "w", driver="GTiff", count=1, dtype="uint8", **place, **shape
        ) as d:
            d.write(ids.astype("uint8"), 1)
    return path


def raster_config(root: Path, **changes) -> Config:
    """The tiny model on four bands, straight from rasters."""
    cfg = tiny_config(root)
    preprocessor = cfg["model"]["data_preprocessor"]
    preprocessor |= {"type": "mmrs.SegDataPreProcessor", "mean": [0.1] * 4, "std": [0.5] * 4}
    preprocessor["bgr_to_rgb"] = False
    cfg["model"]["backbone"]["in_channels"] = 4
    for split, sampler in (("train", "random"), ("val", "grid"), ("test", "grid")):
        cfg[f"{split}_dataloader"]["dataset"] = {
            "type": "mmrs.RasterSegDataset",
            "images": str(root / f"{'train' if split == 'train' else 'val'}.tif"),
            "labels": str(root / f"{'train' if split == 'train' else 'val'}_labels.tif"),
            "window_sampler": {"type": sampler, "size": 32},
            "scaling": dict(SCALING),
            "metainfo": {"classes": CLASSES, "palette": PALETTE},
            "pipeline": [{"type": "PackSegInputs"}],
        }
    cfg = Config(cfg)
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return cfg


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("four bands")
    for seed, split in enumerate(("train", "val")):
        labels = root / f"{split}_labels.tif"
        write_scene(root / f"{split}.tif", labels=labels, seed=seed)
    raster_config(root).dump(root / "config.py")
    train(str(root / "config.py"), work_dir=root / "work")
    return SimpleNamespace(
        root=root, config=root / "config.py", checkpoint=root / "work" / "iter_2.pth"
    )


def test_the_checkpoint_says_what_it_was_trained_on(run) -> None:
    meta = torch.load(run.checkpoint, weights_only=False)["meta"][META_KEY]
    assert meta["bands"] == 4 and meta["dtype"] == "uint16"
    assert tuple(meta["band_names"]) == NAMES and meta["file_bands"] is None
    assert tuple(meta["gsd_m"]) == pytest.approx((0.5, 0.5))
    assert tuple(meta["scaling"]["divisor"]) == (4000,) * 4
    assert tuple(meta["mean"]) == (0.1,) * 4 and tuple(meta["std"]) == (0.5,) * 4


def test_the_same_channels_are_tested_and_others_refused(run) -> None:
    assert 0 <= evaluate(str(run.config), run.checkpoint, work_dir=run.root / "t")["mIoU"] <= 100
    other = raster_config(run.root, test_dataloader__dataset__scaling__max=255)
    with pytest.raises(
        CheckpointError, match=r"iter_2\.pth: trained on values scaled by .*4000.*; this run .*255"
    ):
        evaluate(other, run.checkpoint, work_dir=run.root / "t")
    other = raster_config(run.root, test_dataloader__dataset__bands=[4, 3, 2, 1])
    with pytest.raises(CheckpointError, match=r"\(red, .*nir\).* has 4 bands \(nir, .*red\)"):
        evaluate(other, run.checkpoint, work_dir=run.root / "t")


def test_a_scene_is_scaled_as_in_training(run) -> None:
    out = run.root / "map.tif"
    predict_file(run.root / "val.tif", run.config, run.checkpoint, out, window=64, device="cpu")
    with Raster(out) as raster:
        found = raster.read()[..., 0]
    # the numbers of training, by hand, through the same network
    from mmrs.apis.window.window_model import load_window_model

    model = load_window_model(str(run.config), run.checkpoint, device="cpu").model
    with Raster(run.root / "val.tif") as raster:
        pixels = raster.read().astype(np.float32)
    scaled = (np.clip(pixels / 4000, 0, 1) - 0.1) / 0.5
    inputs = torch.from_numpy(scaled.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.no_grad():
        metas = [{"img_shape": (40, 36), "ori_shape": (40, 36)}]
        logits = model.encode_decode(inputs, metas)
    expected = logits.argmax(dim=1)[0].numpy()
    assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("bands", [1, 3, 4, 12])
def test_scenes_of_other_bands_or_types_are_refused(run, bands: int, dtype: str) -> None:
    if (bands, dtype) == (4, "uint16"):
        pytest.skip("that is what the model takes")
    scene = write_scene(run.root / "other.tif", bands=bands, dtype=dtype, names=())
    message = rf"other\.tif: .*{bands} bands? of {dtype}.*"
    with pytest.raises(DataError, match=message) as caught:
        _open(scene, run)
    if bands >= 4:
        assert "4 bands of uint16 expected" in str(caught.value)


def _open(scene: Path, run) -> None:
    open_scene(scene, _model(run).contract, resample=False).close()


_MODELS: dict = {}


def _model(run):
    from mmrs.apis.window.window_model import load_window_model

    if run.checkpoint not in _MODELS:
        _MODELS[run.checkpoint] = load_window_model(str(run.config), run.checkpoint, device="cpu")
    return _MODELS[run.checkpoint]


def test_scenes_in_another_order_are_refused_by_their_names(run) -> None:
    scene = write_scene(run.root / "turned.tif", names=NAMES[::-1])
    with pytest.raises(DataError, match=r"\(nir, .* red\) of uint16 found, 4 bands \(red"):
        _open(scene, run)


def test_another_pixel_size_warns_and_resample_brings_it(run, caplog) -> None:
    scene = write_scene(run.root / "coarse.tif", gsd_m=0.8, size=(30, 24), seed=4)
    with caplog.at_level(logging.WARNING):
        predict_file(scene, run.config, run.checkpoint, run.root / "plain.tif", device="cpu")
    assert (
        "a pixel is 0.8 m on the ground, the model was trained at 0.5 m; --resample" in caplog.text
    )
    caplog.clear()
    out = run.root / "resampled.tif"
    predict_file(scene, run.config, run.checkpoint, out, resample=True, window=128, device="cpu")
    assert "--resample" not in caplog.text
    with Raster(out) as found, Raster(scene) as given:
        assert found.georeference == given.georeference
        assert (found.height, found.width) == (given.height, given.width)
        labels = found.read()[..., 0]
    # an image that is made at 0.5 m by another way, and looked up at the middles of its pixels
    shape = resampled_shape(30, 24, GroundSampling(0.8, 0.8), (0.5, 0.5))
    with rasterio.open(scene) as dataset:
        fine = dataset.read(out_shape=(4, *shape), resampling=rasterio.enums.Resampling.bilinear)
    model = _model(run)
    expected = model(np.moveaxis(fine, 0, -1)[None])[0].argmax(axis=0)
    rows, cols = nearest_index(30, shape[0]), nearest_index(24, shape[1])
    assert (labels == expected[rows][:, cols]).mean() > 0.97


def test_resample_needs_to_know_the_models_pixel_size(run) -> None:
    content = torch.load(run.checkpoint, weights_only=False)
    content["meta"][META_KEY]["gsd_m"] = None
    torch.save(content, run.root / "no_gsd.pth")
    with pytest.raises(ConfigError, match="--resample: the checkpoint does not say"):
        predict_file(
            run.root / "val.tif", run.config, run.root / "no_gsd.pth", run.root / "x.tif",
            resample=True, device="cpu",
        )  # fmt: skip
    assert not (run.root / "x.tif").exists()


def test_fine_tuning_from_three_bands_inflates_and_says_so(run, tmp_path: Path, capsys) -> None:
    three = tiny_config(tmp_path)["model"]
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    init_default_scope("mmseg")
    source = MODELS.build(three).state_dict()
    torch.save({"state_dict": source}, tmp_path / "rgb.pth")
    cfg = raster_config(run.root, load_from=str(tmp_path / "rgb.pth"), train_cfg__max_iters=1)
    cfg.optim_wrapper.optimizer.lr = 0.0
    runner = train(cfg, work_dir=tmp_path / "w")
    out = capsys.readouterr().out
    name = "backbone.encoder.0.0.convs.0.conv.weight"
    assert f"rgb.pth: {name}: weights of 3 bands are inflated to 4" in out
    found = runner.model.state_dict()[name]
    torch.testing.assert_close(found[:, :3], source[name] * 0.75)
    torch.testing.assert_close(found[:, 3], source[name].mean(dim=1) * 0.75)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Tiles that OpenCV reads as they are, and a checkpoint of them."""
    root = tmp_path_factory.mktemp("tiles")
    for split in ("train", "val"):
        write_pairs(root, split, 2)
        for index in range(2):
            (root / f"img/{split}/t{index}.png").unlink()
            write_tile(root / f"img/{split}/t{index}.tif")
    suffix = {
        f"{split}_dataloader.dataset.img_suffix": ".tif" for split in ("train", "val", "test")
    }
    config = write_config(root, **{key.replace(".", "__"): value for key, value in suffix.items()})
    train(config, work_dir=root / "w", cfg_options={"train_cfg.max_iters": 1,
          "default_hooks.checkpoint.interval": 1})  # fmt: skip
    return SimpleNamespace(root=root, config=config, checkpoint=root / "w" / "iter_1.pth")


def write_tile(path: Path, bands: int = 3, dtype: str = "uint8") -> None:
    write_scene(path, bands=bands, dtype=dtype, names=(), size=(32, 32))


def load_all_through_the_runner(
    monkeypatch: pytest.MonkeyPatch, tool: str, config: Path, checkpoint: Path, work_dir: Path
) -> None:
    """Run a command without the look beforehand: training loads each sample, and takes no step."""
    monkeypatch.setattr("mmrs.apis.train.check_data", lambda *args, **options: [])

    def load_each(runner) -> None:
        dataset = runner.train_loop.dataloader.dataset
        assert len([dataset[index] for index in range(len(dataset))]) == 2

    monkeypatch.setattr("mmengine.runner.Runner.train", load_each)
    if tool == "train":
        train(config, work_dir=work_dir)
    else:
        evaluate(config, checkpoint, work_dir=work_dir)


KINDS = [(bands, dtype) for bands in (1, 3, 4, 12) for dtype in ("uint8", "uint16", "float32")]


@pytest.mark.parametrize(
    ("tool", "bands", "dtype"),
    [("train", *kind) for kind in KINDS] + [("test", *kind) for kind in KINDS[::2]],
)
def test_opencv_never_casts_in_train_and_test(
    tiles, monkeypatch: pytest.MonkeyPatch, tool: str, bands: int, dtype: str
) -> None:
    split = "train" if tool == "train" else "val"
    odd = tiles.root / f"img/{split}/t1.tif"
    write_tile(odd, bands, dtype)
    arguments = (monkeypatch, tool, tiles.config, tiles.checkpoint, tiles.root / "w2")
    try:
        if (bands, dtype) == (3, "uint8"):
            load_all_through_the_runner(*arguments)
            return
        found = f"{bands} band{'' if bands == 1 else 's'} of {dtype}"
        with pytest.raises(DataError) as caught:
            load_all_through_the_runner(*arguments)
        told = str(caught.value)
        assert told.startswith(f"{odd}: ") and found in told
        # testing is looked at beforehand, training here by the Runner's own pipeline
        assert tool == "test" or f"{found} found, 3 bands of uint8 expected" in told
    finally:
        write_tile(odd)


@pytest.mark.parametrize(("bands", "dtype"), KINDS)
def test_rasters_of_other_bands_or_types_are_refused_by_the_test_command(
    run, tmp_path: Path, bands: int, dtype: str
) -> None:
    odd = write_scene(tmp_path / "odd.tif", bands=bands, dtype=dtype, names=())
    config = raster_config(run.root, test_dataloader__dataset__images=str(odd))
    if (bands, dtype) == (4, "uint16"):
        assert 0 <= evaluate(config, run.checkpoint, work_dir=tmp_path / "w")["mIoU"] <= 100
        return
    with pytest.raises(MmrsError) as caught:
        evaluate(config, run.checkpoint, work_dir=tmp_path / "w")
    told = str(caught.value)
    assert "\n" not in told
    if bands == 4:
        assert "trained on 4 bands of uint16" in told and f"4 bands of {dtype}" in told
    else:
        assert f"{odd} ({bands} band" in told and "4 channels" in told
        assert "bands=[...] of RasterSegDataset" in told and "LoadRaster" not in told


def test_gaps_reach_the_network_as_in_training(tmp_path: Path) -> None:
    from mmrs.apis.channels.channel_contract import ChannelContract
    from mmrs.apis.scene.scene_input import fill_gaps
    from mmrs.geo.scaling import BandScaling

    scene = write_scene(tmp_path / "a.tif", size=(10, 8))
    with rasterio.open(scene, "r+") as dataset:
        dataset.nodata = 9999
        pixels = dataset.read()
        pixels[:, 2:5, 1:4] = 9999
        dataset.write(pixels)
    scaling = BandScaling("meanstd", (500.5,) * 4, (100.0,) * 4, clip=False)
    with open_scene(scene, ChannelContract(4), resample=False) as raster:
        # without a word of the contract's, a byte or an integer is left as it is
        assert (
            fill_gaps(raster.read(), raster.read_valid(), ChannelContract(4))[2:5, 1:4] == 9999
        ).all()
        filled = ChannelContract(4, scaling=scaling, fills_gaps=True)
        found = scaling(fill_gaps(raster.read(), raster.read_valid(), filled))
        plain = fill_gaps(raster.read(), raster.read_valid(), ChannelContract(4, fills_gaps=True))
    assert (found[2:5, 1:4] == 0).all() and (plain[2:5, 1:4] == 0).all()
    np.testing.assert_array_equal(plain[5:], np.moveaxis(pixels, 0, -1)[5:])


def test_gaps_that_a_loader_kept_are_kept(tmp_path: Path) -> None:
    """What `mmrs.LoadRaster(nodata="keep")` gives the network is what prediction gives it."""
    from mmrs.apis.channels.channel_contract import ChannelContract
    from mmrs.apis.scene.scene_input import fill_gaps
    from mmrs.datasets.transforms.load_raster import LoadRaster

    scene = write_scene(tmp_path / "a.tif", size=(10, 8), dtype="float32")
    with rasterio.open(scene, "r+") as dataset:
        dataset.nodata = -9999
        pixels = dataset.read()
        pixels[:, 2:5, 1:4] = -9999
        pixels[0, 7, 7] = np.nan
        dataset.write(pixels)
    with open_scene(scene, ChannelContract(4), resample=False) as raster:
        kept = fill_gaps(raster.read(), raster.read_valid(), ChannelContract(4))
        filled = fill_gaps(raster.read(), raster.read_valid(), ChannelContract(4, fills_gaps=True))
    assert (kept[2:5, 1:4] == -9999).all() and kept[7, 7, 0] == 0 and kept[7, 7, 1] != 0
    assert (filled[2:5, 1:4] == 0).all() and (filled[7, 7] == 0).all()
    with rasterio.open(scene, "r+") as dataset:
        pixels[:, 7, 7] = 1
        dataset.write(pixels)
    loaded = LoadRaster(nodata="keep").transform({"img_path": str(scene)})["img"]
    with open_scene(scene, ChannelContract(4), resample=False) as raster:
        again = fill_gaps(raster.read(), raster.read_valid(), ChannelContract(4))
    np.testing.assert_array_equal(again, loaded)


def test_a_data_set_of_two_types_is_refused(tmp_path: Path) -> None:
    from mmrs.apis.channels.channel_contract import ChannelContract
    from mmrs.apis.channels.channel_files import contract_of_dataset

    paths = [write_scene(tmp_path / f"{i}.tif", dtype=d) for i, d in enumerate(("uint16", "int16"))]

    class Files(list):
        def get_data_info(self, index: int) -> dict:
            return {"img_path": str(self[index])}

    assert contract_of_dataset(Files(paths[:1]), ChannelContract(4)).dtype == "uint16"
    with pytest.raises(DataError, match=r"1\.tif: .* of int16 found, 4 bands of uint16 expected"):
        contract_of_dataset(Files(paths), ChannelContract(4))
    assert contract_of_dataset(Files(["s3://a.tif"]), ChannelContract(4)) is None


def test_a_config_that_states_the_numbers_needs_no_checkpoint_that_does(run) -> None:
    """As the error for those that state none says."""
    bare = run.root / "bare.pth"
    torch.save({"state_dict": torch.load(run.checkpoint, weights_only=False)["state_dict"]}, bare)
    scene = write_scene(run.root / "scene.tif")
    cfg = raster_config(run.root)
    for name, checkpoint in (("bare", bare), ("whole", run.checkpoint)):
        predict_file(scene, cfg, checkpoint, run.root / f"{name}.tif", device="cpu")
    with Raster(run.root / "bare.tif") as first, Raster(run.root / "whole.tif") as second:
        np.testing.assert_array_equal(first.read(), second.read())
    cfg.test_dataloader.dataset.scaling = {"type": "minmax", "images": "a.tif"}
    with pytest.raises(CheckpointError, match="write the numbers into scaling"):
        predict_file(scene, cfg, bare, run.root / "none.tif", device="cpu")
