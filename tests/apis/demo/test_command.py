from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rich.console import Console

from mmrs.apis.demo import command as demo
from mmrs.apis.demo.demo_baselines import ColourBaseline, MajorityBaseline
from mmrs.apis.demo.demo_canvas import Canvas, Cover
from mmrs.apis.demo.demo_data import CLASSES, DemoSizes, make_demo_data, train_ids
from mmrs.apis.demo.demo_report import Column, margin, read_tile, score_tiles
from mmrs.apis.demo.demo_scene import Scene, make_scene, make_tiles
from mmrs.apis.demo.demo_textures import smooth_noise
from mmrs.engine.confusion import score
from mmrs.errors import ConfigError
from mmrs.geo.raster import Raster

TINY = DemoSizes(train_areas=2, val_areas=1, scene_height=64, scene_width=80, tile_px=32)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(256, 320, seed=seed, nodata=seed == 1) for seed in range(6)]


def test_a_scene_is_made_from_its_seed_alone() -> None:
    first, again, other = (make_scene(96, 80, seed=seed, nodata=True) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).mean() > 0.2
    assert first.image.shape == (96, 80, 3)
    assert first.labels.shape == (96, 80)


def test_every_cover_occurs_and_none_dominates(scenes: list[Scene]) -> None:
    counts = sum(np.bincount(scene.labels.ravel(), minlength=8) for scene in scenes)
    shares = counts / counts.sum()
    assert shares[Cover.NODATA] > 0
    assert (shares[1:] > 0.01).all(), dict(zip(Cover, shares, strict=True))
    assert shares.max() < 0.6


def test_nodata_is_black_and_nothing_else_is(scenes: list[Scene]) -> None:
    for seed, scene in enumerate(scenes):
        black = (scene.image == 0).all(axis=-1)
        np.testing.assert_array_equal(black, scene.labels == Cover.NODATA)
        assert black.any() == (seed == 1)


def test_shadows_fall_away_from_the_sun_and_only_there() -> None:
    colours = np.ones((21, 21, 3), dtype=np.float32)
    canvas = Canvas(colours, np.ones((21, 21), dtype=np.uint8), sun=(0.0, 1.0))
    thing = np.zeros((21, 21), dtype=bool)
    thing[10:12, 8:13] = True
    canvas.cast_shadow(thing, length=6)
    dark = colours[..., 0] < 0.9
    # the sun stands below, where rows are larger: six rows above the thing are dark
    expected = np.zeros((21, 21), dtype=bool)
    expected[4:12, 8:13] = True
    np.testing.assert_array_equal(dark, expected)


def test_tiles_of_an_area_fit_together_but_differ_in_light() -> None:
    tiles = make_tiles(64, seed=5)
    whole = make_scene(128, 128, seed=5)
    labels = np.block([[tiles[0].labels, tiles[1].labels], [tiles[2].labels, tiles[3].labels]])
    np.testing.assert_array_equal(labels, whole.labels)
    means = [tile.image.mean() for tile in tiles]
    assert np.ptp(means) > 5


def test_scenes_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="height and width must be >= 64, got 63 x 100"):
        make_scene(63, 100, seed=0)


def test_noise_has_the_deviation_that_it_says() -> None:
    rng = np.random.default_rng(0)
    for scale, octaves in ((4, 1), (9, 3), (30, 4)):
        fields = np.stack([smooth_noise(rng, 60, 70, scale, octaves) for _ in range(30)])
        assert abs(fields.mean()) < 0.2
        assert 0.7 < fields.std() < 1.3


def test_the_data_set_has_lovedas_layout_and_encoding(tmp_path: Path) -> None:
    data = make_demo_data(tmp_path, seed=1, sizes=TINY)
    train, val = data.tiles("train"), data.tiles("val")
    assert (len(train), len(val)) == (8, 4)
    assert train[0][0] == tmp_path / "tiles/img_dir/train/000_0.png"
    assert train[0][1] == tmp_path / "tiles/ann_dir/train/000_0.png"
    for image, mask in train + val:
        assert cv2.imread(str(image), cv2.IMREAD_UNCHANGED).shape == (32, 32, 3)
        raw = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        assert raw.dtype == np.uint8
        assert raw.shape == (32, 32)
        assert raw.max() <= 7
    assert not {image.name for image, _ in train} & {image.name for image, _ in val}


def test_the_scene_is_a_geotiff_with_its_truth_on_the_same_grid(tmp_path: Path) -> None:
    data = make_demo_data(tmp_path, seed=1, sizes=TINY)
    with rasterio.open(data.scene) as scene, rasterio.open(data.scene_labels) as truth:
        assert scene.crs.to_epsg() == 32633
        assert scene.res == (0.3, 0.3)
        assert scene.shape == (64, 80)
        assert truth.transform == scene.transform
        np.testing.assert_array_equal(truth.read(1) == 255, scene.dataset_mask() == 0)
        assert (truth.read(1) == 255).any()


def test_the_same_seed_gives_the_same_files_and_old_tiles_go(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        paths = [*sorted(folder.rglob("*.png")), folder / "scene.tif"]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    make_demo_data(tmp_path / "a", seed=2, sizes=TINY)
    more = DemoSizes(3, 2, 64, 64, 32)
    make_demo_data(tmp_path / "b", seed=7, sizes=more)
    make_demo_data(tmp_path / "b", seed=2, sizes=TINY)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    make_demo_data(tmp_path / "b", seed=3, sizes=TINY)
    assert content(tmp_path / "a") != content(tmp_path / "b")


def test_mask_values_become_class_indices() -> None:
    assert train_ids(np.arange(8, dtype=np.uint8)).tolist() == [255, 0, 1, 2, 3, 4, 5, 6]


def test_majority_ignores_nodata() -> None:
    labels = np.array([[255, 255, 255, 255, 2, 2, 1]], dtype=np.uint8)
    baseline = MajorityBaseline(3).fit([(np.zeros((1, 7, 3), dtype=np.uint8), labels)])
    assert (baseline.predict(np.zeros((2, 5, 3), dtype=np.uint8)) == 2).all()


def test_colour_alone_is_perfect_where_colour_tells_all() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[30, 40, 50], [200, 60, 60], [60, 200, 220]])
    labels = rng.integers(0, 3, (40, 40)).astype(np.uint8)
    image = (centres[labels] + rng.integers(-20, 20, (40, 40, 3))).astype(np.uint8)
    labels[0] = 255
    baseline = ColourBaseline(3).fit([(image, labels)])
    np.testing.assert_array_equal(baseline.predict(image)[1:], labels[1:])


def test_colour_alone_is_bayes_rule_on_smoothed_counts() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 50, 3)).astype(np.uint8)
    labels = rng.integers(0, 3, (60, 50)).astype(np.uint8)
    counts = np.zeros((3, 34, 34, 34))
    for pixel, label in zip(image.reshape(-1, 3) // 8, labels.ravel(), strict=True):
        # the definition: 1 2 1 in each direction, around the pixel's bin
        for offset in np.ndindex(3, 3, 3):
            share = np.prod([(0.25, 0.5, 0.25)[step] for step in offset])
            counts[(label, *(pixel + offset))] += share
    # what lies beyond the cube's faces is mirrored back by OpenCV, so look inside only
    inner = np.array([[r, g, b] for r in range(2, 30, 3) for g in range(2, 30, 3) for b in (9, 20)])
    expected = np.array([counts[:, r + 1, g + 1, b + 1] for r, g, b in inner])
    clear = np.sort(expected, axis=1)[:, -1] > np.sort(expected, axis=1)[:, -2] + 1e-6
    found = ColourBaseline(3).fit([(image, labels)]).predict((inner * 8)[None].astype(np.uint8))
    assert clear.sum() > 50
    np.testing.assert_array_equal(found[0][clear], expected.argmax(axis=1)[clear])


def test_an_unseen_colour_gets_the_commonest_class() -> None:
    image = np.zeros((1, 5, 3), dtype=np.uint8)
    labels = np.array([[1, 1, 1, 0, 0]], dtype=np.uint8)
    baseline = ColourBaseline(2).fit([(image, labels)])
    assert baseline.predict(np.full((1, 1, 3), 255, dtype=np.uint8)) == 1


def test_colour_alone_beats_the_majority_on_new_places_but_is_poor(scenes: list[Scene]) -> None:
    pairs = [(scene.image, train_ids(scene.labels)) for scene in scenes]
    majority = MajorityBaseline(7).fit(pairs[:4])
    colour = ColourBaseline(7).fit(pairs[:4])
    columns = [score_tiles("", method.predict, pairs[4:]) for method in (majority, colour)]
    assert columns[0].miou < columns[1].miou < 60
    # the commonest class alone is right somewhere, and all others are missed
    assert np.count_nonzero(columns[0].scores.iou > 0) <= 1


def test_the_margin_is_over_the_better_baseline() -> None:
    def column(right: int, wrong: int) -> Column:
        matrix = np.diag([right] * 7) + wrong * (1 - np.eye(7, dtype=np.int64))
        return Column("", score(matrix.astype(np.int64), CLASSES))

    # 7 classes alike: IoU = right / (right + 12 wrong)
    assert margin(column(36, 1), [column(12, 1), column(24, 1)]) == pytest.approx(75 - 100 * 2 / 3)


def test_read_tile_is_rgb_and_encoded_for_training(tmp_path: Path) -> None:
    data = make_demo_data(tmp_path, seed=1, sizes=TINY)
    image, labels = read_tile(*data.tiles("train")[0])
    with Raster(data.tiles("train")[0][0]) as raster:
        np.testing.assert_array_equal(image, raster.read())
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 5, 6, 255}


def test_the_schedule_fits_any_number_of_steps(tmp_path: Path) -> None:
    data = make_demo_data(tmp_path, seed=1, sizes=TINY)
    for steps in (2, 7, 1000):
        cfg = demo.demo_config(data, tmp_path / "train", seed=3, iterations=steps)
        first, second = cfg.param_scheduler
        assert (first.begin, second.begin, second.end) == (0, first.end, steps)
        assert 0 < first.end < steps
        assert second.T_max == steps - first.end
        assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.max_iters == steps
    with pytest.raises(ConfigError, match="iterations must be >= 2, got 1"):
        demo.demo_config(data, tmp_path / "train", seed=3, iterations=1)


def test_a_miniature_demo_runs_from_nothing_to_a_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=100)
    result = demo.run_demo("out", seed=1, iterations=2, sizes=TINY, console=console)
    # two steps teach nothing, and the demo says so
    assert not result.is_kept
    text = console.file.getvalue()
    assert "below the better baseline" in text or "above the better baseline" in text
    for name in ("majority class", "colour alone", "Hi-ResNet", *CLASSES, "mean IoU"):
        assert name in text
    assert set(result.files) == {"class map", "picture", "scene", "checkpoint", "numbers"}
    for path in result.files.values():
        assert path.is_file()
        assert f" {path}\n" in text
    with Raster(result.files["class map"]) as made, Raster("out/scene.tif") as scene:
        assert made.georeference == scene.georeference
        np.testing.assert_array_equal(made.read()[..., 0] != 255, scene.read_valid())
    numbers = json.loads(result.files["numbers"].read_text())
    assert numbers["steps"] == 2
    assert numbers["margin"] == pytest.approx(result.margin, abs=0.01)
    assert numbers["test_tiles"]["Hi-ResNet"]["miou"] == pytest.approx(
        result.tiles[-1].miou, abs=0.01
    )
    # MMEngine's log is quiet, our progress is not
    assert "steps: 2/2" in capsys.readouterr().out
