"""TensorBand: float64 blending of a whole scene at once, pixel by pixel."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrs.ops.window_blend import NO_CLASS, BlendedRows, TensorBand, first_best, relative_entropy

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def starts(length: int, window: int, stride: int) -> list[int]:
    """Windows of steps of ``stride``, the last one flush with the end."""
    found = [0]
    while found[-1] + window < length:
        found.append(min(found[-1] + stride, length - window))
    return found


def blend_in_memory(scene, windows, profiles) -> np.ndarray:
    """(K, H, W) in float64."""
    total, weights = np.zeros(scene), np.zeros(scene[1:])
    bump = np.outer(profiles[0].astype(np.float64), profiles[1].astype(np.float64))
    for (row, col), scores in windows:
        area = np.s_[row : row + len(bump), col : col + len(bump[0])]
        total[:, *area] += scores * bump
        weights[area] += bump
    return total / weights


def make_band(scene, window, stride, **options) -> tuple[TensorBand, list]:
    """A band, and windows of random probabilities for it."""
    rng = np.random.default_rng(sum(scene) + sum(window))
    rows, cols = (starts(n, w, s) for n, w, s in zip(scene[1:], window, stride, strict=True))
    profiles = [(rng.random(n) + 0.01).astype(np.float32) for n in window]
    band = TensorBand(
        height=scene[1], width=scene[2], row_starts=rows, col_starts=cols,
        row_profile=profiles[0], col_profile=profiles[1], num_classes=scene[0], **options,
    )  # fmt: skip
    windows = []
    for row in rows:
        for col in cols:
            scores = rng.exponential(size=(scene[0], *window)).astype(np.float32)
            windows.append(((row, col), scores / scores.sum(axis=0)))
    return band, [windows, blend_in_memory(scene, windows, profiles)]


def run(band: TensorBand, windows) -> BlendedRows:
    """All rows that the band hands out, in one piece; each piece must follow the one before."""
    pieces = []
    for (row, col), scores in windows:
        pieces += band.pop_until(row)
        band.add(row, col, torch.from_numpy(scores).to(band.device))
    pieces += band.pop_until(band.height)
    return BlendedRows(
        *(
            None if rows[0] is None else np.concatenate(rows, axis=-2)
            for rows in zip(*pieces, strict=True)
        )
    )


@settings(max_examples=60, deadline=None)
@given(
    scene=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 30)),
    window=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    stride=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    deferred=st.booleans(),
    device=st.sampled_from(DEVICES),
)
def test_a_scene_is_blended_as_in_memory(scene, window, stride, deferred, device) -> None:
    window = tuple(min(w, n) for w, n in zip(window, scene[1:], strict=True))
    stride = tuple(min(s, w) for s, w in zip(stride, window, strict=True))
    band, (windows, expected) = make_band(
        scene, window, stride, device=device, deferred=deferred,
        confidence=True, entropy=True, probabilities=True,
    )  # fmt: skip
    found = run(band, windows)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.confidence, expected.max(axis=0), rtol=1e-4)
    # classes and confidence belong to the probabilities that are handed out
    np.testing.assert_array_equal(found.labels, found.probabilities.argmax(axis=0))
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(axis=0))
    if scene[0] > 1:
        entropy = -(expected * np.log(expected)).sum(axis=0) / np.log(scene[0])
        np.testing.assert_allclose(found.entropy, entropy, rtol=1e-3, atol=1e-5)
    else:
        assert (found.entropy == 0).all()
    assert found.labels.dtype == np.uint8


@pytest.mark.parametrize("device", DEVICES)
def test_only_what_is_wanted_is_handed_out_and_classes_do_not_depend_on_it(device: str) -> None:
    wishes = ("confidence", "entropy", "probabilities")
    everything = make_band((4, 30, 20), (8, 9), (3, 4), device=device, **dict.fromkeys(wishes, 1))
    expected = run(everything[0], everything[1][0])
    for wish in (None, *wishes):
        options = {} if wish is None else {wish: True}
        band, (windows, _) = make_band((4, 30, 20), (8, 9), (3, 4), device=device, **options)
        found = run(band, windows)
        np.testing.assert_array_equal(found.labels, expected.labels)
        for name in wishes:
            if name == wish:
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            else:
                assert getattr(found, name) is None


def test_a_threshold_decides_between_two_classes() -> None:
    band, (windows, expected) = make_band((2, 30, 20), (8, 9), (3, 4), threshold=0.3)
    labels = run(band, windows).labels
    sure = abs(expected[1] - 0.3) > 1e-5
    np.testing.assert_array_equal(labels[sure], (expected[1] > 0.3)[sure])
    assert (labels != expected.argmax(axis=0)).any()
    with pytest.raises(ValueError, match="a threshold decides between 2 classes, got 3"):
        make_band((3, 8, 8), (4, 4), (2, 2), threshold=0.5)


def test_deferred_rows_come_one_call_later_and_all_at_the_end() -> None:
    for deferred in (False, True):
        band, (windows, _) = make_band((2, 16, 4), (4, 4), (4, 4), deferred=deferred)
        counts = []
        for (row, col), scores in windows:
            counts.append(sum(len(piece.labels) for piece in band.pop_until(row)))
            assert band.top == row
            band.add(row, col, torch.from_numpy(scores))
        counts.append(sum(len(piece.labels) for piece in band.pop_until(16)))
        assert counts == ([0, 0, 4, 4, 8] if deferred else [0, 4, 4, 4, 4])


def test_rows_that_were_handed_out_do_not_change_any_more() -> None:
    band, (windows, _) = make_band((3, 12, 5), (4, 5), (4, 5), probabilities=True)
    pieces, copies = [], []
    for (row, col), scores in windows:
        for piece in band.pop_until(row):
            pieces.append(piece)
            copies.append([piece.labels.copy(), piece.probabilities.copy()])
        band.add(row, col, torch.from_numpy(scores))
    list(band.pop_until(12))
    assert len(pieces) == 2
    for piece, (labels, probabilities) in zip(pieces, copies, strict=True):
        np.testing.assert_array_equal(piece.labels, labels)
        np.testing.assert_array_equal(piece.probabilities, probabilities)


def test_windows_left_out_leave_class_0_and_change_nothing_else() -> None:
    band, (windows, expected) = make_band((3, 40, 8), (8, 8), (8, 8), probabilities=True)
    found = run(band, [windows[0], windows[4]])
    np.testing.assert_allclose(found.probabilities[:, :8], expected[:, :8], rtol=1e-5)
    np.testing.assert_allclose(found.probabilities[:, 32:], expected[:, 32:], rtol=1e-5)
    assert (found.probabilities[:, 8:32] == 0).all()
    assert (found.labels[8:32] == 0).all()


def test_a_band_may_begin_in_the_middle_and_gives_the_same_there() -> None:
    band, (windows, _) = make_band((3, 40, 20), (8, 9), (4, 5), probabilities=True)
    expected = run(band, windows)
    later, _ = make_band((3, 40, 20), (8, 9), (4, 5), probabilities=True)
    later.top = 12
    found = run(later, [(place, scores) for place, scores in windows if place[0] >= 12])
    # rows 12 to 15 lack the windows that begin above
    np.testing.assert_array_equal(found.probabilities[:, 4:], expected.probabilities[:, 16:])
    np.testing.assert_array_equal(found.labels[4:], expected.labels[16:])


def test_sums_take_the_memory_that_is_stated() -> None:
    profile = np.ones(16, dtype=np.float32)
    band = TensorBand(
        height=10**6, width=64, row_starts=range(0, 10**6, 16), col_starts=range(0, 64, 16),
        row_profile=profile, col_profile=profile, num_classes=5,
    )  # fmt: skip
    assert band._ring.nbytes == 5 * 16 * 64 * 4


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="Linux tells it there")
def test_ground_without_data_takes_no_memory_and_is_class_0() -> None:
    profile = np.ones(256, dtype=np.float32)
    before = resident_bytes()
    band = TensorBand(
        height=1024, width=51_200, row_starts=range(0, 1024, 256),
        col_starts=range(0, 51_200, 256), row_profile=profile, col_profile=profile,
        num_classes=20, confidence=True,
    )  # fmt: skip
    for piece in band.pop_until(768):
        assert not piece.labels.any() and not piece.confidence.any()
    assert band._ring.nbytes > 1e9
    assert resident_bytes() - before < 0.2e9
    assert band.top == 768


def test_disorder_and_wrong_shapes_are_refused() -> None:
    band, (windows, _) = make_band((2, 12, 4), (4, 4), (2, 2))
    with pytest.raises(ValueError, match=r"scores must be of shape \(2, 4, 4\), got \(3, 4, 4\)"):
        band.add(0, 0, torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="window starts at row 2, but the band at 0"):
        band.add(2, 0, torch.from_numpy(windows[0][1]))
    with pytest.raises(ValueError, match="cannot pop rows 0 to 13 of 12"):
        list(band.pop_until(13))
    with pytest.raises(ValueError, match="num_classes must be from 1 to 255, got 256"):
        make_band((256, 4, 4), (4, 4), (2, 2))


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_scores_that_are_not_numbers_give_no_class(threshold) -> None:
    for device in DEVICES:
        band, (windows, _) = make_band(
            (2, 12, 4), (4, 4), (2, 2), threshold=threshold, device=device
        )
        pieces = []
        for index, ((row, col), scores) in enumerate(windows):
            if index == 1:
                scores = scores.copy()
                scores[1, 2, 3] = np.nan
            pieces += band.pop_until(row)
            band.add(row, col, torch.from_numpy(scores))
        pieces += band.pop_until(12)
        row, col = windows[1][0]
        expected = np.zeros((12, 4), dtype=bool)
        expected[row + 2, col + 3] = True
        labels = np.concatenate([piece.labels for piece in pieces])
        np.testing.assert_array_equal(labels == NO_CLASS, expected)


def test_scores_of_half_precision_are_summed_in_single() -> None:
    band, (windows, expected) = make_band((3, 20, 9), (8, 9), (4, 5), probabilities=True)
    pieces = []
    for (row, col), scores in windows:
        pieces += band.pop_until(row)
        band.add(row, col, torch.from_numpy(scores).half())
    pieces += band.pop_until(20)
    found = np.concatenate([piece.probabilities for piece in pieces], axis=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)


@given(st.integers(1, 9), st.integers(0, 2**31))
def test_first_best_is_argmax_of_equals_the_first(num_classes: int, seed: int) -> None:
    # few distinct values, so that ties occur
    scores = np.random.default_rng(seed).integers(0, 4, (num_classes, 6, 5)).astype(np.float32)
    for device in DEVICES:
        tensor = torch.from_numpy(scores).to(device)
        out = torch.empty(6, 5, dtype=torch.uint8, device=device)
        first_best(tensor, tensor.amax(dim=0), out=out)
        np.testing.assert_array_equal(out.cpu().numpy(), scores.argmax(axis=0))


def test_first_best_counts_up_to_256_classes() -> None:
    scores = torch.eye(256)[:, None]
    out = torch.empty(1, 256, dtype=torch.uint8)
    first_best(scores, scores.amax(dim=0), out=out)
    assert out[0].tolist() == list(range(256))


def test_entropy_has_its_closed_forms() -> None:
    probabilities = torch.tensor([[1.0, 0.5, 1 / 3, 0.0], [0, 0.5, 1 / 3, 0], [0, 0, 1 / 3, 0]])
    expected = torch.tensor([0, np.log(2) / np.log(3), 1, 0], dtype=torch.float32)
    torch.testing.assert_close(relative_entropy(probabilities), expected)
