"""SegMetric: what it returns, prints, writes and refuses; shards."""

import csv
import logging

import numpy as np
import pytest
import torch
import torchmetrics.classification as tm
from mmengine.logging import MMLogger
from PIL import Image

from mmrs.engine import SegMetric, counted_metric, seg_metric
from mmrs.errors import ConfigError, DataError, LabelError

CLASSES = ("field", "water", "road")


def sample(prediction, label=None, name="t0", **extra):
    data = {
        "img_path": f"img/{name}.png",
        "seg_map_path": f"ann/{name}.png",
        "pred_sem_seg": {"data": torch.as_tensor(prediction)[None]},
        **extra,
    }
    if label is not None:
        data["gt_sem_seg"] = {"data": torch.as_tensor(label)[None]}
    return data


def make(**options):
    metric = SegMetric(**options)
    metric.dataset_meta = {"classes": CLASSES}
    return metric


def evaluate(metric, samples):
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger=logger.name)
    yield caplog
    logger.removeHandler(caplog.handler)


def random_samples(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        sample(rng.integers(0, 3, (6, 5)), rng.integers(0, 3, (6, 5)), f"t{i}")
        for i in range(count)
    ]


def test_scores_are_in_percent_and_as_asked():
    pair = sample([[0, 1, 1, 2]], [[0, 0, 1, 2]])
    every = evaluate(make(score_names=seg_metric.METRIC_NAMES), [pair])
    # by hand: IoU 1/2, 1/2, 1; recall 1/2, 1, 1; precision 1, 1/2, 1; F1 2/3, 2/3, 1
    assert every["mIoU"] == pytest.approx(100 * 2 / 3)
    assert every["mF1"] == pytest.approx(100 * 7 / 9)
    assert every["OA"] == pytest.approx(75)
    assert every["AA"] == every["recall"] == pytest.approx(100 * 5 / 6)
    assert every["precision"] == pytest.approx(100 * 5 / 6)
    # chance = (2*1 + 1*2 + 1*1) / 16
    assert every["Kappa"] == pytest.approx(100 * (0.75 - 5 / 16) / (1 - 5 / 16))
    assert list(evaluate(make(), [pair])) == ["mIoU"]
    assert list(evaluate(make(prefix="val"), [pair])) == ["val/mIoU"]


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_a_data_set_equal_torchmetrics(seed):
    names = {
        "mIoU": tm.MulticlassJaccardIndex,
        "mF1": tm.MulticlassF1Score,
        "precision": tm.MulticlassPrecision,
        "recall": tm.MulticlassRecall,
        "AA": tm.MulticlassAccuracy,
    }
    options = {"num_classes": 3, "ignore_index": 255}
    theirs = {name: kind(**options, average="macro") for name, kind in names.items()}
    theirs["OA"] = tm.MulticlassAccuracy(**options, average="micro")
    theirs["Kappa"] = tm.MulticlassCohenKappa(**options)
    samples = random_samples(4, seed)
    for one in samples:
        one["gt_sem_seg"]["data"][0, seed % 6, :3] = 255
        for metric in theirs.values():
            metric.update(one["pred_sem_seg"]["data"][0], one["gt_sem_seg"]["data"][0])
    expected = {name: 100 * float(metric.compute()) for name, metric in theirs.items()}
    found = evaluate(make(score_names=seg_metric.METRIC_NAMES), samples)
    assert {name: value / 100 for name, value in found.items()} == pytest.approx(
        {name: value / 100 for name, value in expected.items()}, abs=1e-6
    )


def test_one_image_beyond_2_to_24_equal_pixels_is_exact():
    # float32 counters stop at 2**24 = 16777216; the last three pixels are wrong
    label = torch.ones((1, 4097, 4097), dtype=torch.uint8)
    prediction = label.clone()
    prediction[0, -1, -3:] = 0
    metric = make(score_names=["OA"])
    metric.process({}, [{"pred_sem_seg": {"data": prediction}, "gt_sem_seg": {"data": label}}])
    assert metric.evaluate(1)["OA"] == 100 * (4097**2 - 3) / 4097**2
    assert metric.scores.matrix[1].tolist() == [3, 4097**2 - 3, 0]


def test_the_protocol_is_printed_beside_the_scores(log):
    evaluate(make(), [sample([[0, 1, 2, 2]], [[0, 1, 2, 255]])])
    assert (
        "protocol: every sample counted as it is, pixels that several samples show as often; "
        "1 of 4 pixels ignored (25.00 %)"
    ) in log.text


def test_the_protocol_knows_windows_that_count_pixels_once(log):
    metric = make()
    metric.dataset_meta = {"classes": CLASSES, "count_once": True}
    evaluate(metric, [sample([[0, 1]], [[0, 255]])])
    assert (
        "protocol: every pixel of a scene counted once, in the window in whose middle it lies "
        "more; 1 of 2 pixels ignored (50.00 %), those among them that another window counts"
    ) in log.text
    stitched = make(stitch=True)
    stitched.dataset_meta = metric.dataset_meta
    assert stitched.protocol(1, 1) == (
        "windows stitched, every pixel of a scene counted once; 1 of 2 pixels ignored (50.00 %)"
    )


def test_absent_class_is_printed_and_counted(log):
    value = evaluate(make(), [sample([[0, 1]], [[0, 1]])])["mIoU"]
    assert value == pytest.approx(100)
    assert "absent" in log.text
    assert "means are over 2 of 3 classes; 1 left out: road" in log.text


def test_excluded_class_is_named(log):
    assert make(exclude_from_mean="road").exclude_from_mean == ("road",)
    metric = make(exclude_from_mean=("road",))
    value = evaluate(metric, [sample([[0, 1, 2, 2]], [[0, 1, 2, 1]])])["mIoU"]
    assert value == pytest.approx(100 * (1 + 1 / 2) / 2)
    assert "road (not in the mean)" in log.text and "1 left out: road" in log.text


def test_excluding_an_unknown_class_is_an_error():
    with pytest.raises(ConfigError, match="'cars' is not a class"):
        evaluate(make(exclude_from_mean=("cars",)), [sample([[0]], [[0]])])


def test_label_out_of_range_is_refused_with_file_and_pixel():
    label = np.zeros((3, 4), np.int64)
    label[2, 1] = 9
    with pytest.raises(LabelError, match=r"ann/t0.png: value 9 at \(row 2, col 1\)"):
        evaluate(make(), [sample(np.zeros((3, 4), np.int64), label)])


def test_forgotten_reduce_zero_label_is_suggested():
    pair = sample([[0]], [[3]], reduce_zero_label=False)
    with pytest.raises(LabelError, match="reduce_zero_label=True"):
        evaluate(make(), [pair])


def test_sizes_that_differ_name_both():
    with pytest.raises(DataError, match=r"ann/t0.png: label is 1 x 2 .* img/t0.png is 1 x 1"):
        evaluate(make(), [sample([[0]], [[0, 1]])])


def test_missing_label_says_what_to_do():
    with pytest.raises(DataError, match="format_only=True"):
        evaluate(make(), [sample([[0]])])


@pytest.mark.parametrize("name, guess", [("miou", "mIoU"), ("kapa", "Kappa"), ("F1", "mF1")])
def test_unknown_metric_guesses(name, guess):
    with pytest.raises(ConfigError, match=f"did you mean '{guess}'"):
        SegMetric(score_names=(name,))


def test_format_only_needs_a_folder():
    with pytest.raises(ConfigError, match="output_dir"):
        SegMetric(format_only=True)


@pytest.mark.parametrize("shifted", [False, True])
def test_written_maps_hold_the_ids_of_the_label_files(tmp_path, shifted):
    metric = make(output_dir=str(tmp_path / "out"), format_only=True)
    assert evaluate(metric, [sample([[0, 2]], reduce_zero_label=shifted)]) == {}
    written = np.array(Image.open(tmp_path / "out" / "t0.png"))
    assert written.tolist() == [[0 + shifted, 2 + shifted]]


def test_maps_of_windows_have_names_of_their_own(tmp_path):
    metric = make(output_dir=str(tmp_path), format_only=True)
    windows = [(0, 0, 1, 2), (0, 2, 1, 2)]
    evaluate(metric, [sample([[0, i]], window=w) for i, w in enumerate(windows)])
    written = {path.name: np.array(Image.open(path)).tolist() for path in tmp_path.iterdir()}
    assert written == {"t0_0_0_2_1.png": [[0, 0]], "t0_2_0_4_1.png": [[0, 1]]}


def test_maps_of_one_name_are_refused_instead_of_overwritten(tmp_path):
    metric = make(output_dir=str(tmp_path), format_only=True)
    other = {**sample([[1]]), "img_path": "other/t0.png"}
    with pytest.raises(DataError, match=r"other/t0\.png: the maps of this and of img/t0\.png"):
        evaluate(metric, [sample([[0]]), other])
    # validation after validation writes them anew
    metric = make(output_dir=str(tmp_path), format_only=True)
    for _ in range(2):
        evaluate(metric, [sample([[0]])])


def test_confusion_matrix_file_reads_back(tmp_path):
    path = tmp_path / "sub" / "matrix.csv"
    evaluate(make(confusion_matrix=str(path)), [sample([[0, 1, 1, 2]], [[0, 0, 1, 2]])])
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0][1:] == list(CLASSES)
    assert [[int(v) for v in row[1:]] for row in rows[1:]] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_nothing_to_average_is_nan_and_said(log):
    value = evaluate(make(), [sample([[0]], [[255]])])["mIoU"]
    assert np.isnan(value) and "cannot become the best" in log.text


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("padded", [True, False])
def test_shards_give_the_value_of_one_process(monkeypatch, world_size, padded):
    samples = random_samples(5)
    expected = evaluate(make(score_names=seg_metric.METRIC_NAMES), samples)
    # DefaultSampler: rank, rank + world_size, ...; padded by starting over
    length = -(-5 // world_size) * world_size if padded else 5
    order = [i % 5 for i in range(length)]
    partial = []
    monkeypatch.setattr(counted_metric, "all_reduce", lambda tensor: partial.append(tensor.clone()))
    for rank in range(world_size):
        monkeypatch.setattr(counted_metric, "get_dist_info", lambda r=rank: (r, world_size))
        metric = make()
        metric.process({}, [samples[i] for i in order[rank::world_size]])
        metric.evaluate(5)
    merged = make(score_names=seg_metric.METRIC_NAMES)
    values = merged.compute_metrics([sum(partial).numpy()])
    assert values == pytest.approx(expected)


def test_a_second_evaluation_starts_afresh():
    metric = make()
    first = evaluate(metric, random_samples(2, seed=1))
    evaluate(metric, random_samples(2, seed=2))
    assert evaluate(metric, random_samples(2, seed=1)) == first


def test_the_scores_asked_for_are_printed_as_a_table(log):
    pair = sample([[0, 1, 1, 2]], [[0, 0, 1, 2]])
    evaluate(make(score_names=("OA", "AA", "Kappa")), [pair])
    table = log.text.partition("overall, in percent:")[2]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    # 3 of 4 right; recalls 1/2, 1, 1; chance agreement (2*1 + 1*2 + 1*1) / 16 = 5/16
    kappa = 100 * (3 / 4 - 5 / 16) / (1 - 5 / 16)
    assert [c.strip() for c in cells[0]] == ["OA", "AA", "Kappa"]
    assert [c.strip() for c in cells[1]] == ["75.00", f"{250 / 3:.2f}", f"{kappa:.2f}"]
