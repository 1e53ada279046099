from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from mmrs.apis import CRFSettings, SceneOutputs, ScenePrediction, SceneSegmentor
from mmrs.apis.channels.channel_contract import ChannelContract
from mmrs.apis.export import export_onnx
from mmrs.errors import ConfigError, DataError, EnvironmentError
from mmrs.geo.raster import Raster
from mmrs.ops.crf import dense_crf
from tests.apis.test_predict import ROTATED, ColourModel, demo_config, read_map, save_model
from tests.apis.test_predict import write_scene as write

HOW = {"window": 8, "stride": 5, "batch_size": 3}
SCORES = SceneOutputs(confidence=True, entropy=True, probabilities=True, score_dtype="float32")
# dtype, nodata, what stands in the gap
KINDS = [
    ("uint8", 0, 0),
    ("uint8", None, 0),
    ("uint16", 65535, 65535),
    ("int16", -9999, -9999),
    ("float32", None, np.nan),
    ("float32", -1.0, -1.0),
]


class PlaceModel(ColourModel):
    """Scores depend on the place in the window too, so that the windows show in the result."""

    identity = {"name": "place"}

    def __init__(self, dtype: str = "uint8") -> None:
        super().__init__()
        self.contract = ChannelContract(3, dtype, "file")

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.shapes.append(windows.shape)
        _, height, width, _ = windows.shape
        place = np.add.outer(np.arange(height), 2 * np.arange(width))[..., None] % 7
        strength = windows.astype(np.float64) / 90 + place * np.array([0.0, 0.35, -0.2])
        scores = np.exp(strength - strength.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.ascontiguousarray(scores.transpose(0, 3, 1, 2), dtype=np.float32)


def make_pixels(dtype: str = "uint8", gap: float = 0, *, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(1, 256, (33, 21, 3)).astype(dtype)
    pixels[5:15, 2:12] = gap
    pixels[20, 20, 1] = gap  # one band alone
    return pixels


def check_equal(found: ScenePrediction, expected: ScenePrediction) -> None:
    for name in ("labels", "confidence", "entropy", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("pixels", "nodata_pixels", "windows", "transform", "crs"):
        assert getattr(found, name) == getattr(expected, name), name


@pytest.mark.parametrize(("dtype", "nodata", "gap"), KINDS)
def test_path_dataset_and_array_give_the_same(tmp_path: Path, dtype, nodata, gap) -> None:
    pixels = make_pixels(dtype, gap)
    path = write(tmp_path / "scene.tif", pixels, nodata=nodata)
    segmentor = SceneSegmentor(PlaceModel(dtype))
    how = {**HOW, "outputs": SCORES}
    expected = segmentor(path, **how)
    assert expected.transform == ROTATED
    # a number that is not finite in one band spoils the pixel, a nodata value in one band does not
    gaps = {("uint8", None): 0, ("float32", None): 101}
    assert expected.nodata_pixels == gaps.get((dtype, nodata), 100)
    assert np.isnan(expected.confidence).sum() == expected.nodata_pixels
    check_equal(segmentor(str(path), **how), expected)
    with rasterio.open(path) as dataset:
        check_equal(segmentor(dataset, **how), expected)
        with WarpedVRT(dataset, crs=dataset.crs, transform=dataset.transform, height=33,
                       width=21) as view:  # fmt: skip
            check_equal(segmentor(view, **how), expected)
        assert not dataset.closed
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        check_equal(segmentor(dataset, **how), expected)
    place = {"transform": ROTATED, "crs": "EPSG:32633"}
    check_equal(segmentor(pixels, nodata=nodata, **place, **how), expected)
    check_equal(segmentor(pixels, nodata=nodata, **place, **how), expected)  # once more
    valid = expected.labels != 255
    check_equal(segmentor(pixels, valid=valid, **place, **how), expected)


@pytest.mark.parametrize("source", ["path", "memory", "array"])
def test_files_hold_what_the_arrays_do(tmp_path: Path, source: str) -> None:
    pixels = make_pixels()
    path = write(tmp_path / "scene.tif", pixels, nodata=0)
    segmentor = SceneSegmentor(PlaceModel())
    expected = segmentor(path, outputs=SCORES, **HOW)
    out = tmp_path / "maps" / "map.tif"
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        image = {"path": path, "memory": dataset, "array": pixels}[source]
        told = {"transform": ROTATED, "crs": "EPSG:32633", "nodata": 0} if source == "array" else {}
        written = segmentor(image, out=out, outputs=SCORES, overlay=tmp_path / "look.png", **told,
                            **HOW)  # fmt: skip
    assert written.path == out
    assert written.pixels == expected.pixels
    np.testing.assert_array_equal(read_map(out), expected.labels)
    with Raster(out) as raster:
        assert raster.georeference == expected.georeference
    with Raster(tmp_path / "maps" / "map_probabilities.tif") as raster:
        found = np.moveaxis(raster.read(), -1, 0)
        np.testing.assert_array_equal(found, expected.probabilities)
    assert (tmp_path / "look.png").stat().st_size > 1000


def test_a_network_gives_its_maps_too(tmp_path: Path) -> None:
    config, checkpoint = save_model(tmp_path, demo_config())
    pixels = make_pixels()
    path = write(tmp_path / "scene.tif", pixels, nodata=0)
    segmentor = SceneSegmentor(config, checkpoint, device="cpu")
    written = segmentor(path, out=tmp_path / "map.tif", window=16, overlap=4)
    found = segmentor(pixels, window=16, overlap=4, nodata=0)
    np.testing.assert_array_equal(read_map(tmp_path / "map.tif"), found.labels)
    assert segmentor.classes == found.classes == written.classes
    assert found.windows == written.windows == 6
    assert (found.crs, found.transform, found.area_m2) == (None, None, None)
    assert found.confidence is None


def test_an_array_of_another_layout_is_not_guessed() -> None:
    pixels = make_pixels()
    segmentor = SceneSegmentor(PlaceModel())
    told = r"array: 21 bands of uint8 found, 3 bands of uint8 expected\. Fix: give .*np\.moveaxis"
    with pytest.raises(DataError, match=told):
        segmentor(np.moveaxis(pixels, -1, 0))
    with pytest.raises(DataError, match=r"3 bands of uint16 found, 3 bands of uint8 expected"):
        segmentor(pixels.astype(np.uint16))
    with pytest.raises(DataError, match=r"array: its shape is \(1, 33, 21, 3\)"):
        segmentor(pixels[None])


def test_band_names_of_an_array_are_compared() -> None:
    model = PlaceModel()
    model.contract = ChannelContract(3, "uint8", "file", band_names=("red", "green", "blue"))
    segmentor = SceneSegmentor(model)
    segmentor(make_pixels(), band_names=("red", "green", "blue"), **HOW)
    with pytest.raises(DataError, match=r"3 bands \(blue, green, red\)"):
        segmentor(make_pixels(), band_names=("blue", "green", "red"), **HOW)


def test_the_array_stays_as_it_was() -> None:
    model = PlaceModel("float32")
    model.contract = ChannelContract(3, "float32", "file", fills_gaps=True)
    pixels = make_pixels("float32", np.nan)
    before = pixels.copy()
    SceneSegmentor(model)(pixels, **HOW)
    np.testing.assert_array_equal(pixels, before)


def test_areas_come_from_the_transform() -> None:
    pixels = make_pixels()
    grid = Affine(2.0, 0, 500_000, 0, -3.0, 5_000_000)
    found = SceneSegmentor(PlaceModel())(pixels, transform=grid, crs="EPSG:32633", nodata=0, **HOW)
    np.testing.assert_allclose(found.area_m2, 6.0 * np.array(found.pixels))
    assert sum(found.pixels) + found.nodata_pixels == 33 * 21
    np.testing.assert_array_equal(found.areas.pixels, found.pixels)


def test_every_option_reaches_the_engine() -> None:
    pixels = make_pixels()
    segmentor = SceneSegmentor(model := PlaceModel())
    base = segmentor(pixels, **HOW).labels

    def differs(**changes) -> bool:
        return bool((segmentor(pixels, **{**HOW, **changes}).labels != base).any())

    assert differs(window=9)
    assert differs(stride=8)
    assert differs(blend="flat")
    assert not differs(stride=None, overlap=3)
    model.shapes.clear()
    assert not differs(batch_size=2)
    assert {shape[0] for shape in model.shapes} == {2}
    done: list[tuple[int, int]] = []
    segmentor(pixels, progress=lambda *args: done.append(args), **HOW)
    assert done[-1] == (24, 24)


def test_an_interrupted_map_of_an_array_goes_on(tmp_path: Path) -> None:
    class Failing(PlaceModel):
        def __call__(self, windows: np.ndarray) -> np.ndarray:
            if len(self.shapes) == 6:
                raise RuntimeError("boom")
            return super().__call__(windows)

    pixels, out = make_pixels(), tmp_path / "map.tif"
    with pytest.raises(RuntimeError, match="boom"):
        SceneSegmentor(Failing())(pixels, out=out, **HOW)
    segmentor = SceneSegmentor(model := PlaceModel())
    whole = segmentor(pixels, **HOW)
    count = len(model.shapes)
    model.shapes.clear()
    other = make_pixels(seed=1)
    with pytest.raises(Exception, match="its interrupted run had another image"):
        segmentor(other, out=out, resume=True, **HOW)
    segmentor(pixels.copy(), out=out, resume=True, **HOW)
    assert 0 < len(model.shapes) < count
    np.testing.assert_array_equal(read_map(out), whole.labels)


def test_calls_from_several_threads_take_turns() -> None:
    class Watching(PlaceModel):
        inside = most = 0

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                return super().__call__(windows)
            finally:
                self.inside -= 1

    scenes = [make_pixels(seed=seed) for seed in range(4)]
    expected = [SceneSegmentor(PlaceModel())(scene, **HOW).labels for scene in scenes]
    segmentor = SceneSegmentor(model := Watching())
    found: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(
            target=lambda index=index: found.update({index: segmentor(scenes[index], **HOW).labels})
        )
        for index in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, labels in enumerate(expected):
        np.testing.assert_array_equal(found[index], labels)
    assert model.most == 1


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"outputs": SceneOutputs(areas=True)}, "areas needs files. Fix: give out="),
        ({"outputs": SceneOutputs(vectors=".gpkg")}, "vectors needs files"),
        ({"outputs": SceneOutputs(overlay=True)}, "overlay needs files"),
        ({"overlay": "look.png"}, "overlay needs files"),
        ({"resume": True}, "resume needs files"),
        ({"stride": 4, "overlap": 4}, "stride and overlap say the same"),
        ({"resample": True}, "array: only a file can be read at another pixel size"),
        ({"window": 0}, "window must be >= 1, got 0"),
        ({"window": 8.5}, r"window must be whole pixels, or \(rows, columns\), got 8.5"),
        ({"window": (8,)}, r"window must be whole pixels, or .* got \(8,\)"),
        ({"stride": "8"}, "stride must be whole pixels"),
        ({"window": (16, 8), "overlap": 8}, r"overlap must be .* window \(16 x 8\), got 8"),
        ({"blend": "linear"}, "blend must be one of cosine, gaussian, flat, got 'linear'"),
        ({"batch_size": 0}, "batch size must be >= 1, got 0"),
    ],
)
def test_options_without_a_meaning_are_refused(how: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SceneSegmentor(PlaceModel())(make_pixels(), **how)


def test_sizes_may_be_numbers_of_numpy() -> None:
    segmentor, pixels = SceneSegmentor(PlaceModel()), make_pixels()
    found = segmentor(pixels, window=np.int64(16), stride=np.array([8, 4]))
    expected = segmentor(pixels, window=16, stride=(8, 4))
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.windows == expected.windows


def test_values_of_another_type_get_their_own_mend() -> None:
    told = r"float64 found, .* expected\. Fix: give values as the files of the training hold them"
    with pytest.raises(DataError, match=told):
        SceneSegmentor(PlaceModel())(make_pixels().astype(np.float64))


def test_what_is_no_scene_or_no_model_is_refused(tmp_path: Path) -> None:
    segmentor = SceneSegmentor(PlaceModel())
    path = write(tmp_path / "scene.tif", make_pixels())
    with pytest.raises(ConfigError, match=r"got MemoryFile\. Fix: .*open\(\)"):
        segmentor(MemoryFile(path.read_bytes()))
    with pytest.raises(ConfigError, match="nodata is told of arrays only"):
        segmentor(path, nodata=0)
    with pytest.raises(DataError, match=r"none\.tif: no such file"):
        segmentor(tmp_path / "none.tif")
    with (
        MemoryFile(path.read_bytes()) as memory,
        memory.open() as dataset,
        pytest.raises(ConfigError, match=r"resume: nothing tells whether .* same dataset"),
    ):
        segmentor(dataset, out=tmp_path / "map.tif", resume=True)
    with pytest.raises(ConfigError, match=r"config\.py: a config needs weights"):
        SceneSegmentor("config.py")
    with pytest.raises(ConfigError, match="weights has no meaning for an ONNX file"):
        SceneSegmentor("model.onnx", "weights.pth")
    with pytest.raises(ConfigError, match="threads must be >= 1, got 0"):
        SceneSegmentor("model.onnx", threads=0)
    with pytest.raises(ConfigError, match="amp has no meaning for an ONNX file"):
        SceneSegmentor("model.onnx", amp="bf16")
    with pytest.raises(ConfigError, match="threads has no meaning for a config"):
        SceneSegmentor("config.py", "weights.pth", threads=1)
    with pytest.raises(ConfigError, match="device has no meaning for a model that is ready"):
        SceneSegmentor(PlaceModel(), device="cpu")


def test_options_of_a_config_reach_the_model(tmp_path: Path) -> None:
    config, checkpoint = save_model(tmp_path, demo_config())
    segmentor = SceneSegmentor(
        config, checkpoint, device="cpu", amp="bf16", channels_last=True, compile=False,
        cfg_options={"crop_size": (24, 16)},
    )  # fmt: skip
    assert segmentor.model.window == (24, 16)
    assert segmentor.model.identity["amp"] == "bf16"
    assert segmentor.model.identity["channels last"] is True
    pixels = make_pixels()
    assert (segmentor(pixels).labels != 255).all()


def test_windows_are_laid_in_several_ways_and_sizes() -> None:
    pixels = make_pixels()[:28, :18]  # on which windows of 8 at a stride of 5 lie evenly
    plain, flips, d4, scaled = (
        SceneSegmentor(PlaceModel(), **how)(pixels, **HOW).labels
        for how in ({}, {"symmetries": "flips"}, {"symmetries": "d4"}, {"scales": (0.5, 1.0)})
    )
    results = [labels.tobytes() for labels in (plain, flips, d4, scaled)]
    assert len(set(results)) == 4
    # eight ways know no direction: a turned scene gives the turned map
    turned = SceneSegmentor(PlaceModel(), symmetries="d4")(np.rot90(pixels), **HOW).labels
    assert (turned == np.rot90(d4)).mean() > 0.99


def test_an_exported_file_gives_the_same_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    config, checkpoint = save_model(tmp_path, demo_config(crop_size=(16, 16)))
    model = export_onnx(config, checkpoint, tmp_path / "model.onnx", check_sizes=[(16, 16)]).path
    np.save(tmp_path / "scene.npy", make_pixels())
    code = f"""
import sys, mmrs.apis
assert 'SceneSegmentor' in dir(mmrs.apis)
assert not {{'torch', 'mmengine', 'rasterio', 'numpy'}} & set(sys.modules)
import numpy as np
segmentor = mmrs.apis.SceneSegmentor({str(model)!r}, threads=1)
prediction = segmentor(np.load({str(tmp_path / "scene.npy")!r}))
np.save({str(tmp_path / "labels.npy")!r}, prediction.labels)
assert not {{'torch', 'mmengine', 'mmseg'}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    expected = SceneSegmentor(config, checkpoint, device="cpu")(make_pixels()).labels
    assert (np.load(tmp_path / "labels.npy") == expected).mean() > 0.999  # rounding at equal scores


def test_an_unknown_name_of_the_package_is_told() -> None:
    import mmrs.apis

    with pytest.raises(AttributeError, match="has no attribute 'Segmentor'"):
        mmrs.apis.Segmentor  # noqa: B018


CRF = CRFSettings(tile_px=7, halo_px=4, num_iters=2, bilateral_sigma_px=3.0)


def test_the_crf_refines_what_the_windows_give_together() -> None:
    pixels = make_pixels()
    segmentor = SceneSegmentor(PlaceModel())
    blended = segmentor(pixels, nodata=0, outputs=SCORES, **HOW)
    found = segmentor(
        pixels, nodata=0, outputs=SCORES, crf=replace(CRF, tile_px=11, halo_px=33), **HOW
    )
    expected = dense_crf(
        torch.from_numpy(blended.probabilities)[None],
        torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None],
        valid=torch.from_numpy(blended.labels != 255)[None],
        **CRF.options,
    )[0].numpy()
    np.testing.assert_array_equal(found.probabilities, expected)
    assert found.nodata_pixels == blended.nodata_pixels == 100
    assert (found.labels != blended.labels).mean() > 0.05


@pytest.mark.parametrize("done_ratio", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("resample", [False, True])
def test_a_resumed_map_with_a_crf_is_the_uninterrupted_one(
    tmp_path: Path, done_ratio: float, resample: bool
) -> None:
    class Failing(PlaceModel):
        fails_at = 10**6

        def __call__(self, windows: np.ndarray) -> np.ndarray:
            if len(self.shapes) == self.fails_at:
                raise RuntimeError("boom")
            return super().__call__(windows)

    model = Failing()
    model.contract = ChannelContract(3, "uint8", "file", gsd_m=(2.6, 2.6))
    pixels = np.random.default_rng(0).integers(1, 256, (70, 23, 3), dtype=np.uint8)
    pixels[30:34] = 0
    path = write(tmp_path / "scene.tif", pixels, nodata=0)
    outputs = SceneOutputs(probabilities=True, score_dtype="float32")
    crf = replace(CRF, tile_px=13)
    how = {**HOW, "crf": crf, "outputs": outputs, "resample": resample}
    segmentor = SceneSegmentor(model)
    segmentor(path, out=tmp_path / "whole.tif", **how)
    all_batches = len(model.shapes)
    model.fails_at = all_batches + int(done_ratio * all_batches)
    with pytest.raises(RuntimeError, match="boom"):
        segmentor(path, out=tmp_path / "map.tif", **how)
    model.fails_at = 10**6
    model.shapes.clear()
    segmentor(path, out=tmp_path / "map.tif", resume=True, **how)
    for name in ("{}.tif", "{}_probabilities.tif"):
        with Raster(tmp_path / name.format("map")) as found:
            with Raster(tmp_path / name.format("whole")) as expected:
                np.testing.assert_array_equal(found.read(), expected.read())
    assert len(model.shapes) < all_batches or done_ratio == 0.2  # the halo may reach the top


def test_other_crf_settings_are_another_run(tmp_path: Path) -> None:
    segmentor = SceneSegmentor(PlaceModel())
    pixels, out = make_pixels(), tmp_path / "map.tif"
    segmentor(pixels, out=out, crf=CRF, **HOW)
    first = read_map(out)
    segmentor(pixels, out=out, crf=replace(CRF, num_iters=9), resume=True, **HOW)
    assert (read_map(out) != first).any()


def test_a_networks_own_crf_gives_way_to_that_over_the_scene(tmp_path: Path) -> None:
    plain = save_model(tmp_path, demo_config())
    (tmp_path / "crf").mkdir()
    refining = save_model(tmp_path / "crf", demo_config(model={"type": "mmrs.CRFEncoderDecoder"}))
    pixels = make_pixels()
    results = []
    for config, checkpoint in (plain, refining):
        segmentor = SceneSegmentor(config, checkpoint, device="cpu")
        results.append((segmentor(pixels, **HOW), segmentor(pixels, crf=CRF, **HOW)))
    (bare, once), (windows, instead) = ([found.labels for found in pair] for pair in results)
    assert (bare != windows).any()  # its own CRF does something
    assert (bare != once).any()
    np.testing.assert_array_equal(once, instead)


def test_a_crf_that_does_not_fit_is_refused_before_anything_is_predicted() -> None:
    segmentor = SceneSegmentor(model := PlaceModel("uint16"))
    with pytest.raises(ConfigError, match="nothing says how large the values of uint16 are"):
        segmentor(make_pixels("uint16"), crf=CRF, **HOW)
    assert not model.shapes


def test_a_crf_without_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mmrs.apis.scene.crf_pass", None)
    with pytest.raises(EnvironmentError, match=r"crf: a dense CRF needs PyTorch .*\. Fix: install"):
        SceneSegmentor(PlaceModel())(make_pixels(), crf=CRF, **HOW)
