"""What a resume takes for finished, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import mmrs.apis.scene.scene_writer
from mmrs.apis.predict import predict_scenes
from mmrs.apis.scene.scene_settings import SceneOutputs
from mmrs.errors import ConfigError, OutputError
from mmrs.geo.array_raster import ArrayRaster
from mmrs.geo.raster import Raster
from mmrs.geo.rows.locked_file import open_locked
from mmrs.geo.rows.row_spool import spool_path
from tests.apis.predict_server import SharpModel
from tests.fake_data import make_geotiff


class CountedModel(SharpModel):
    def __init__(self, *, fails_at: int | None = None, **identity: str) -> None:
        super().__init__()
        self.calls, self.fails_at = 0, fails_at
        if identity:
            self.identity = identity

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        if self.calls == self.fails_at:
            raise RuntimeError("boom")
        self.calls += 1
        return super().__call__(windows)


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[Path, Path]]:
    for index in range(2):
        make_geotiff(tmp_path / f"{index}.tif", size_px=(40, 30), seed=index)
    return [(tmp_path / f"{i}.tif", tmp_path / "maps" / f"{i}.tif") for i in range(2)]


def calls(pairs: list, *, model: CountedModel | None = None, **how) -> int:
    model = model or CountedModel()
    how = {"window": 16, "batch_size": 4, "resume": True, **how}
    written = predict_scenes(pairs, model, **how)
    assert [scene.path for scene in written] == [out for _, out in pairs]
    assert [sum(scene.pixels) for scene in written] == [40 * 30] * 2
    return model.calls


@pytest.mark.parametrize(
    "how",
    [
        {"window": 20},
        {"stride": 5},
        {"batch_size": 3},
        {"blend": "flat"},
        {"model": CountedModel(model="another")},
        {"outputs": SceneOutputs(entropy=True)},
        {"outputs": SceneOutputs(format="cog")},
    ],
)
def test_scenes_are_finished_only_where_nothing_that_counts_is_other(pairs: list, how: dict):
    assert calls(pairs) > 0
    assert calls(pairs) == 0
    assert calls(pairs, **how) > 0
    assert calls(pairs, **{**how, "model": CountedModel(**how["model"].identity)}
                 if "model" in how else how) == 0  # fmt: skip


def test_a_lost_or_damaged_file_is_made_again(pairs: list):
    outputs = SceneOutputs(confidence=True)
    alone = calls(pairs, outputs=outputs)
    out = pairs[0][1]
    for path in (out, out.with_name("0_confidence.tif")):
        path.unlink()
        assert 0 < calls(pairs, outputs=outputs) < alone
    content = out.read_bytes()
    out.write_bytes(content[: len(content) // 2])
    assert 0 < calls(pairs, outputs=outputs) < alone
    assert out.read_bytes() == content


def test_rows_that_were_all_kept_are_published_without_the_model(
    pairs: list, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise OutputError("no")

    with monkeypatch.context() as patched:
        patched.setattr("mmrs.apis.scene.scene_writer.publish_scene", fail)
        with pytest.raises(OutputError, match="no"):
            calls(pairs[:1])
    assert spool_path(pairs[0][1]).exists()
    model = CountedModel()
    predict_scenes(pairs[:1], model, window=16, resume=True)
    assert model.calls == 0
    assert pairs[0][1].exists() and not spool_path(pairs[0][1]).exists()


def test_a_file_that_cannot_be_written_ends_the_run_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = [f"{index}.tif" for index in range(20)]
    for name in names:
        make_geotiff(tmp_path / name, size_px=(16, 16))
    many = [(tmp_path / name, tmp_path / "maps" / name) for name in names]
    real = mmrs.apis.scene.scene_writer.publish_scene

    def fail(spool, *args, **kwargs):
        if spool.target.name == "1.tif":
            raise OutputError("no", where=spool.target)
        return real(spool, *args, **kwargs)

    model = CountedModel()
    with monkeypatch.context() as patched:
        patched.setattr("mmrs.apis.scene.scene_writer.publish_scene", fail)
        with pytest.raises(OutputError, match=r"1\.tif: no"):
            predict_scenes(many, model, window=16, batch_size=1)
    assert model.calls < 12
    # nothing is held any more, and of what was computed a batch is lost
    again = CountedModel()
    written = predict_scenes(many, again, window=16, batch_size=1, resume=True)
    assert len(written) == 20
    assert again.calls <= 20 - model.calls + 1


def test_a_model_without_identity_cannot_go_on(pairs: list):
    model = CountedModel()
    model.identity = {}
    with pytest.raises(ConfigError, match="resume: the model does not say which one it is"):
        calls(pairs, model=model)
    assert calls(pairs, model=model, resume=False) > 0


def test_rows_of_another_model_are_refused(pairs: list):
    with pytest.raises(RuntimeError, match="boom"):
        calls(pairs, model=CountedModel(fails_at=3), resume=False)
    with pytest.raises(OutputError, match="had another model model: sharp, now other"):
        calls(pairs, model=CountedModel(model="other"))
    assert calls(pairs) > 0


@pytest.mark.parametrize("skip_bad", [False, True])
def test_what_a_killed_process_left_is_removed(pairs: list, skip_bad: bool):
    folder = pairs[0][1].parent
    folder.mkdir()
    left = folder / ".0.999999999-0123abcd.part.tif"
    left.touch()
    calls(pairs, skip_bad=skip_bad)
    assert not left.exists()


@pytest.mark.parametrize("opened", [False, True])
def test_what_lies_beside_an_image_counts(pairs: list, opened: bool):
    given = [(Raster(image) if opened else image, out) for image, out in pairs]
    assert calls(given) > 0
    assert calls(given) == 0
    image = pairs[0][0]
    before = image.stat()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image, "r+") as dataset:
        mask = np.full(dataset.shape, 255, np.uint8)
        mask[:10] = 0
        dataset.write_mask(mask)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    model = CountedModel()
    given = [(Raster(image) if opened else image, out) for image, out in pairs]
    written = predict_scenes(given, model, window=16, resume=True)
    assert model.calls > 0
    assert [scene.nodata_pixels for scene in written] == [10 * 30, 0]


def test_an_array_at_another_place_is_another_scene(tmp_path: Path):
    array = np.random.default_rng(0).integers(1, 255, (12, 9, 3), dtype=np.uint8)
    out = tmp_path / "map.tif"
    for east, expected in ((5, True), (5, False), (6, True)):
        scene = ArrayRaster(array, transform=Affine(1, 0, east, 0, -1, 0), crs="EPSG:32633")
        model = CountedModel()
        predict_scenes([(scene, out)], model, window=16, resume=True)
        assert (model.calls > 0) == expected
        with rasterio.open(out) as dataset:
            assert dataset.transform.c == east


def test_temporary_files_of_who_holds_a_scene_stay(pairs: list):
    """Of a process on another machine: its number says nothing here, its lock does."""
    out = pairs[0][1]
    out.parent.mkdir()
    left = out.with_name(f".{out.stem}.4194305-0a1b2c3d.part.tif")
    left.touch()
    held = open_locked(spool_path(out), out)
    with pytest.raises(OutputError, match="another process is writing it"):
        calls(pairs, resume=False)
    assert left.exists()
    os.close(held)
    calls(pairs, resume=False)
    assert not left.exists()
