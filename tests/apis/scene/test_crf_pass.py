"""The CRF over a scene against the CRF over the whole image, computed at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.apis.scene.crf_pass import CRFPass, without_window_crf
from mmrs.apis.scene.crf_settings import CRFSettings
from mmrs.apis.window.augmented_model import AugmentedWindowModel
from mmrs.errors import ConfigError
from mmrs.geo.array_raster import ArrayRaster
from mmrs.geo.rows.scene_rows import SceneRows, Wanted
from mmrs.ops.crf import dense_crf
from tests.apis.test_predict import ColourModel

CRF = {
    "num_iters": 3, "spatial_sigma_px": 1.0, "bilateral_sigma_px": 2.5,
    "bilateral_color_sigma": 20.0,
}  # fmt: skip
EVERYTHING = Wanted(confidence=True, entropy=True, probabilities=True)


def make_scene(height: int, width: int, *, gaps: bool, seed: int = 0):
    """Pixels (H, W, 3) uint8 and probabilities (3, H, W), NaN where there is no data."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 6 + 1, width // 6 + 1, 3))
    pixels = np.kron(blocks, np.ones((6, 6, 1), int))[:height, :width]
    pixels = np.clip(pixels + rng.integers(-9, 10, pixels.shape), 0, 255).astype(np.uint8)
    logits = pixels / 100 + rng.normal(0, 1, pixels.shape)
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    scores = np.ascontiguousarray(scores.transpose(2, 0, 1), dtype=np.float32)
    if gaps:
        hole = rng.random((height, width)) < 0.1
        hole[: height // 3, : width // 2] = True
        scores[:, hole] = np.nan
    return pixels, scores


def whole_image(pixels: np.ndarray, scores: np.ndarray, **options) -> np.ndarray:
    valid = torch.from_numpy(np.isfinite(scores[0]))[None]
    image = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    return dense_crf(torch.from_numpy(scores)[None], image, valid=valid, **options)[0].numpy()


def run(
    pixels: np.ndarray,
    scores: np.ndarray,
    how: CRFSettings,
    *,
    rows: range | None = None,
    pieces: int = 3,
    wanted: Wanted = EVERYTHING,
    threshold: float | None = None,
) -> SceneRows:
    height = len(pixels)
    taken: list[SceneRows] = []
    rows = range(height) if rows is None else rows
    crf = CRFPass(
        how, ArrayRaster(pixels), rows=rows, take=taken.append, threshold=threshold, wanted=wanted
    )
    for first in range(crf.needed.start, crf.needed.stop, pieces):
        last = min(first + pieces, crf.needed.stop)
        part = scores[:, first:last]
        crf.append(SceneRows(np.zeros(part.shape[1:], np.uint8), probabilities=part))
    names = ("labels", "confidence", "entropy", "probabilities")
    arrays = {
        name: np.concatenate([getattr(part, name) for part in taken], axis=-2)
        for name in names
        if getattr(taken[0], name) is not None
    }
    return SceneRows(**arrays)


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.integers(3, 40),
    pieces=st.integers(1, 31),
    gaps=st.booleans(),
)
def test_a_halo_as_large_as_the_scene_gives_the_whole_images_result(
    height, width, tile, pieces, gaps
) -> None:
    pixels, scores = make_scene(height, width, gaps=gaps)
    found = run(pixels, scores, CRFSettings(tile_px=tile, halo_px=30, **CRF), pieces=pieces)
    expected = whole_image(pixels, scores, **CRF)
    np.testing.assert_array_equal(found.probabilities, expected)
    valid = np.isfinite(scores[0])
    np.testing.assert_array_equal(found.labels[valid], expected.argmax(axis=0)[valid])
    assert (found.labels[~valid] == 255).all()
    np.testing.assert_array_equal(np.isnan(found.confidence), ~valid)
    np.testing.assert_array_equal(found.confidence[valid], expected.max(axis=0)[valid])


def test_the_result_nears_the_whole_images_as_the_halo_grows() -> None:
    pixels, scores = make_scene(60, 56, gaps=False)
    expected = whole_image(pixels, scores, **CRF).argmax(axis=0)
    assert (expected != scores.argmax(axis=0)).mean() > 0.2  # it has something to do
    shares = [
        (
            run(pixels, scores, CRFSettings(tile_px=20, halo_px=halo, **CRF)).labels != expected
        ).mean()
        for halo in (0, 2, 5, 8, 60)
    ]  # of 0, 0.8, 2, 3.2 sigma
    assert shares[0] > 2 * shares[2]
    assert shares[2] < 0.01
    assert shares[4] == 0


@pytest.mark.parametrize("first", [1, 7, 8, 9, 20, 29])
@pytest.mark.parametrize("count", [1, 2, 9, 30])
def test_tile_lines_lie_where_they_lie_wherever_a_run_begins_and_ends(first, count) -> None:
    last = min(30, first + count)
    pixels, scores = make_scene(30, 17, gaps=True)
    how = CRFSettings(tile_px=8, halo_px=3, **CRF)
    whole = run(pixels, scores, how)
    part = run(pixels, scores, how, rows=range(first, last))
    for name in ("labels", "confidence", "entropy", "probabilities"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., first:last, :])
    needed = how.needed_rows(range(first, last), 30)
    assert needed.start == max(0, first // 8 * 8 - 3)
    assert needed.stop == min(30, -(-last // 8) * 8 + 3)


def test_rows_are_handed_on_as_soon_as_their_line_is_complete() -> None:
    pixels, scores = make_scene(64, 9, gaps=False)
    taken: list[SceneRows] = []
    how = CRFSettings(tile_px=8, halo_px=3, **CRF)
    crf = CRFPass(
        how, ArrayRaster(pixels), rows=range(64), take=taken.append, threshold=None, wanted=Wanted()
    )
    for row in range(64):
        part = scores[:, row : row + 1]
        crf.append(SceneRows(np.zeros((1, 9), np.uint8), probabilities=part))
        done = sum(len(rows) for rows in taken)
        assert done == (64 if row == 63 else max(0, (row + 1 - 3) // 8 * 8))
        assert crf._held.shape == (3, 14, 9)


def test_what_lies_under_gaps_does_not_matter() -> None:
    pixels, scores = make_scene(20, 20, gaps=True)
    how = CRFSettings(tile_px=9, halo_px=4, **CRF)
    base = run(pixels, scores, how)
    pixels[np.isnan(scores[0])] = 255 - pixels[np.isnan(scores[0])]
    np.testing.assert_array_equal(run(pixels, scores, how).probabilities, base.probabilities)


def test_only_what_is_wanted_is_handed_on() -> None:
    pixels, scores = make_scene(9, 9, gaps=False)
    rows = run(pixels, scores, CRFSettings(tile_px=5, **CRF), wanted=Wanted(entropy=True))
    assert rows.entropy is not None
    assert rows.confidence is rows.probabilities is None


def test_the_threshold_decides_between_two_classes() -> None:
    pixels, scores = make_scene(16, 16, gaps=False)
    two = np.stack([scores[0], 1 - scores[0]])
    weak = {**CRF, "spatial_weight": 0.2, "bilateral_weight": 0.2}
    rows = run(pixels, two, CRFSettings(tile_px=7, **weak), threshold=0.8)
    np.testing.assert_array_equal(rows.labels, rows.probabilities[1] > 0.8)
    assert ((rows.probabilities[1] > 0.5) & (rows.labels == 0)).any()


@pytest.mark.parametrize(
    "change",
    [
        {"tile_px": 5},
        {"halo_px": 0},
        {"bands": (1,)},
        {"color_scale": 0.2},
        {"num_iters": 1},
        {"spatial_sigma_px": 3.0},
        {"spatial_weight": 0.5},
        {"bilateral_sigma_px": 1.0},
        {"bilateral_color_sigma": 5.0},
        {"bilateral_weight": 1.0},
        {"compatibility": ((0, 1, 2), (1, 0, 1), (2, 1, 0))},
        {"min_probability": 0.1},
        {"num_rings": 0},
    ],
)
def test_every_setting_counts(change: dict) -> None:
    pixels, scores = make_scene(24, 24, gaps=False)
    base = {"tile_px": 8, "halo_px": 4, **CRF}
    first = run(pixels, scores, CRFSettings(**base)).probabilities
    second = run(pixels, scores, CRFSettings(**{**base, **change})).probabilities
    assert np.abs(first - second).max() > 1e-4


def test_the_halo_follows_the_largest_sigma() -> None:
    assert CRFSettings().halo == 160
    assert CRFSettings(bilateral_weight=0).halo == 6
    assert CRFSettings(halo_px=7).halo == 7


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tile_px": 0}, "crf: tile_px must be >= 1, got 0"),
        ({"halo_px": -1}, "halo_px must be >= 0, got -1"),
        ({"color_scale": 0.0}, "color_scale must be > 0, got 0.0"),
        ({"bilateral_sigma_px": float("nan")}, "bilateral_sigma_px must be > 0, got nan"),
        ({"min_probability": 1.0}, r"min_probability must be in \(0, 1\), got 1.0"),
    ],
)
def test_wrong_settings_are_told(wrong: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        CRFSettings(**wrong)


def test_colours_that_do_not_fit_are_told() -> None:
    pixels, scores = make_scene(9, 9, gaps=False)
    wide = pixels.astype(np.uint16) * 100
    with pytest.raises(ConfigError, match="nothing says how large the values of uint16 are"):
        run(wide, scores, CRFSettings())
    with pytest.raises(ConfigError, match=r"colours reach \d+ with color_scale=1, .*scale=255/"):
        run(wide, scores, CRFSettings(color_scale=1.0))
    scaled = run(wide, scores, CRFSettings(color_scale=0.01, tile_px=4, **CRF))
    plain = run(pixels, scores, CRFSettings(tile_px=4, **CRF))
    np.testing.assert_allclose(scaled.probabilities, plain.probabilities, atol=1e-5)
    with pytest.raises(ConfigError, match=r"bands \[4\] are to be .* reads \[1, 2, 3\]"):
        run(pixels, scores, CRFSettings(bands=(4,)))
    with pytest.raises(ConfigError, match="a CRF needs two classes or more"):
        run(pixels, scores[:1], CRFSettings())


def test_misuse_is_told() -> None:
    pixels, scores = make_scene(9, 9, gaps=False)
    crf = CRFPass(
        CRFSettings(tile_px=4, **CRF), ArrayRaster(pixels), rows=range(9), take=list().append,
        threshold=None, wanted=Wanted(),
    )  # fmt: skip
    with pytest.raises(ValueError, match="the rows have no probabilities"):
        crf.append(SceneRows(np.zeros((1, 9), np.uint8)))
    too_many = np.concatenate([scores, scores], axis=1)
    with pytest.raises(ValueError, match="row 18, but up to 9 are needed"):
        crf.append(SceneRows(np.zeros((18, 9), np.uint8), probabilities=too_many))


def test_the_windows_own_crf_is_left_out_under_augmentation_too() -> None:
    class Refining(ColourModel):
        refined = True

        def unrefined(self) -> Refining:
            other = Refining()
            other.refined = False
            return other

    model = Refining()
    assert not without_window_crf(model).refined
    augmented = AugmentedWindowModel(model, symmetries="flips")
    found = without_window_crf(augmented)
    assert isinstance(found, AugmentedWindowModel)
    assert found.symmetries == "flips"
    assert not found.refined
    assert model.refined
    assert augmented.refined
    plain = ColourModel()
    assert without_window_crf(plain) is plain
