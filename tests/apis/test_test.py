"""Evaluation through the tool: its flags, and checkpoints that do not belong."""

from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmrs.apis.test import test as evaluate
from mmrs.apis.train import train
from mmrs.engine.boundary import boundary_counts, boundary_score
from mmrs.errors import CheckpointError, ConfigError
from tests.apis.tiny_run import CLASSES, run_tool, tiny_config, write_config, write_pairs


@pytest.fixture
def run(data):
    """(config, checkpoint) of two steps without validation."""
    config = write_config(data)
    train(config, work_dir=data / "trained", cfg_options={"train_cfg.val_interval": 9})
    return config, data / "trained" / "iter_2.pth"


def test_miou_by_default(data, run, capsys):
    capsys.readouterr()
    assert run_tool("test", *run, "--work-dir", data / "w") == 0
    out = capsys.readouterr().out
    assert "mIoU: " in out and "Kappa" not in out
    assert "| field |" in out


def test_scores_matrix_and_maps_agree(data, run):
    names = ["mIoU", "mF1", "OA", "AA", "Kappa", "precision", "recall"]
    scores = evaluate(
        *run,
        work_dir=data / "w",
        metrics=names,
        confusion_matrix=data / "matrix.csv",
        out=data / "maps",
    )
    assert sorted(scores) == sorted(names)
    rows = list(csv.reader((data / "matrix.csv").read_text().splitlines()))
    matrix = np.array(rows[1:])[:, 1:].astype(int)
    # the written maps give the same matrix, pixel by pixel
    expected = np.zeros((3, 3), int)
    for path in sorted((data / "ann" / "val").iterdir()):
        predicted = np.array(Image.open(data / "maps" / path.name))
        np.add.at(expected, (np.array(Image.open(path)), predicted), 1)
    np.testing.assert_array_equal(matrix, expected)
    iou = np.diag(expected) / (expected.sum(0) + expected.sum(1) - np.diag(expected))
    assert scores["mIoU"] == pytest.approx(100 * iou.mean())
    assert scores["OA"] == pytest.approx(100 * np.trace(expected) / expected.sum())


def test_mmsegs_metric_gives_the_same_miou(data, run):
    ours = evaluate(*run, work_dir=data / "w")["mIoU"]
    theirs = evaluate(*run, work_dir=data / "w", cfg_options={"test_evaluator.type": "IoUMetric"})
    assert theirs["mIoU"] == pytest.approx(ours, abs=0.005)  # it rounds


def test_mmsegs_metric_is_replaced_where_other_scores_are_asked(data, run):
    options = {"test_evaluator": {"type": "IoUMetric", "iou_metrics": ["mIoU"]}}
    scores = evaluate(*run, work_dir=data / "w", metrics=["Kappa"], cfg_options=options)
    assert list(scores) == ["Kappa"]


def test_unknown_score_is_told_before_anything_is_read(data, run, capsys):
    assert run_tool("test", *run, "--metrics", "miou", "--work-dir", data / "w") == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: --metrics: unknown metric 'miou'. Fix: did you mean 'mIoU'?")


def test_boundary_scores_are_those_of_the_written_maps(data, run):
    scores = evaluate(
        *run, work_dir=data / "w", metrics=["bF1", "OA"], boundary_px=2, out=data / "maps"
    )
    assert sorted(scores) == ["OA", "bF1"]
    counts = np.zeros((7, 3), np.int64)
    for path in sorted((data / "ann" / "val").iterdir()):
        pair = (np.array(Image.open(data / "maps" / path.name)), np.array(Image.open(path)))
        counts += boundary_counts(*pair, num_classes=3, width_px=2)
    expected = boundary_score(counts, CLASSES)
    assert scores["bF1"] == pytest.approx(100 * expected.mean(expected.f1))


def test_a_boundary_width_alone_adds_both_scores_by_the_config_s_rules(data, run, capsys):
    options = {"test_evaluator": {"type": "mmrs.SegMetric", "exclude_from_mean": ("road",)}}
    scores = evaluate(*run, work_dir=data / "w", boundary_px=1.5, cfg_options=options)
    assert sorted(scores) == ["bF1", "bIoU", "mIoU"]
    out = capsys.readouterr().out
    assert "boundaries at 1.5 px" in out and out.count("road (not in the mean)") == 2


@pytest.mark.parametrize("widths", [(), ("--boundary-m", "-1")])
def test_boundary_scores_need_a_width(data, run, capsys, widths):
    argv = (*run, "--metrics", "bIoU", *widths, "--work-dir", data / "w")
    assert run_tool("test", *argv) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: --metrics bIoU bF1: ") and "add --boundary-px 3" in line


def test_a_width_in_metres_without_a_gsd_names_the_image(data, run, capsys):
    assert run_tool("test", *run, "--boundary-m", "1", "--work-dir", data / "w") == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "t0.png: no ground sampling distance is known for width_m=1" in line


def test_stitching_windows_that_do_not_overlap_changes_nothing(data, run, capsys):
    plain = evaluate(*run, work_dir=data / "w", metrics=["mIoU", "OA"])
    for folder in ("img", "ann"):
        for index, path in enumerate(sorted((data / folder / "val").iterdir())):
            path.rename(path.with_name(f"s_{32 * index}_0_{32 * index + 32}_32.png"))
    capsys.readouterr()
    stitched = evaluate(*run, work_dir=data / "w", metrics=["mIoU", "OA"], stitch=True)
    assert stitched == plain
    assert "windows stitched, every pixel of a scene counted once" in capsys.readouterr().out


def test_tiles_that_cannot_be_stitched_are_told(data, run, capsys):
    assert run_tool("test", *run, "--stitch", "--work-dir", data / "w") == 1
    assert "t0.png: the name does not say which window" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:The shape of value will convert:UserWarning")
def test_test_time_augmentation(data, run):
    flips = [{"type": "RandomFlip", "prob": p, "direction": "horizontal"} for p in (0.0, 1.0)]
    steps = [flips, [{"type": "LoadAnnotations"}], [{"type": "PackSegInputs"}]]
    options = {
        "tta_model": {"type": "SegTTAModel"},
        "tta_pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "TestTimeAug", "transforms": steps},
        ],
    }
    plain = evaluate(*run, work_dir=data / "w", metrics=["OA", "mIoU"])
    augmented = evaluate(
        *run, work_dir=data / "w", metrics=["OA", "mIoU"], tta=True, cfg_options=options
    )
    assert augmented.keys() == plain.keys() and augmented != plain


def test_tta_needs_its_pipeline(data, run):
    with pytest.raises(ConfigError, match="tta_pipeline: --tta needs it"):
        evaluate(*run, work_dir=data / "w", tta=True)


def test_pictures_of_the_predictions(data, run, recwarn):
    options = {"default_hooks.visualization": {"type": "SegVisualizationHook", "interval": 1}}
    evaluate(*run, work_dir=data / "w", show_dir=data / "pictures", cfg_options=options)
    pictures = list((data / "pictures").rglob("*.png"))
    assert len(pictures) == 3


def test_showing_needs_the_hook_and_a_display(data, run, monkeypatch):
    with pytest.raises(ConfigError, match=r"default_hooks.visualization"):
        evaluate(*run, work_dir=data / "w", show=True)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    options = {"default_hooks.visualization": {"type": "SegVisualizationHook"}}
    with pytest.raises(ConfigError, match=r"no display .* --show-dir"):
        evaluate(*run, work_dir=data / "w", show=True, cfg_options=options)


def test_loveda_submission_is_a_flat_zip_of_train_ids(data):
    classes = ("background", "building", "road", "water", "barren", "forest", "agricultural")
    write_pairs(data, "train", 4, values=range(8))
    write_pairs(data, "val", 3, values=range(8))
    config = tiny_config(data, model__decode_head__num_classes=7)
    for split in ("train", "val", "test"):
        dataset = config[f"{split}_dataloader"]["dataset"]
        dataset.update(type="LoveDADataset")
        del dataset["metainfo"]
    config.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
    train(Config(config), work_dir=data / "t")
    # the test images have no labels
    for path in (data / "ann" / "val").iterdir():
        path.unlink()
    assert (
        evaluate(
            Config(config),
            data / "t" / "iter_2.pth",
            work_dir=data / "w",
            loveda_submission=data / "s",
        )
        == {}
    )
    with zipfile.ZipFile(data / "s" / "submission.zip") as archive:
        assert archive.namelist() == ["t0.png", "t1.png", "t2.png"]
    ids = np.array(Image.open(data / "s" / "t0.png"))
    assert ids.shape == (32, 32) and ids.max() < len(classes)


# 23 checkpoints of another model ----------------------------------------------------------------


def test_another_head_is_an_error(data, run):
    config = tiny_config(data, model__decode_head__num_classes=4)
    config["test_dataloader"]["dataset"]["metainfo"] = {"classes": (*CLASSES, "car")}
    with pytest.raises(CheckpointError) as caught:
        evaluate(Config(config), run[1], work_dir=data / "w")
    line = str(caught.value)
    assert f"{run[1]}: decode_head.conv_seg.weight is 3x4x1x1 in the checkpoint, 4x4x1x1" in line
    assert "it knows 3 classes, the config has 4" in line and "set num_classes=3" in line


def test_a_tensor_that_is_missing_is_an_error(data, run):
    content = torch.load(run[1], weights_only=False)
    del content["state_dict"]["decode_head.conv_seg.bias"]
    torch.save(content, run[1])
    with pytest.raises(CheckpointError, match="1 tensors of the model are not in it, such as dec"):
        evaluate(*run, work_dir=data / "w")


def test_tensors_beyond_the_model_are_named_and_not_used(data, run, capsys):
    content = torch.load(run[1], weights_only=False)
    content["state_dict"]["auxiliary_head.x"] = torch.zeros(3)
    torch.save(content, run[1])
    expected = evaluate(*run, work_dir=data / "w")
    assert "1 tensors of" in capsys.readouterr().out
    assert np.isfinite(expected["mIoU"])


def test_the_classes_in_another_order_are_an_error(data, run):
    config = tiny_config(data)
    config["test_dataloader"]["dataset"]["metainfo"]["classes"] = ("water", "field", "road")
    with pytest.raises(CheckpointError, match=r"another order \(field, water, road\)"):
        evaluate(Config(config), run[1], work_dir=data / "w")


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_damaged_checkpoint_is_told(data, run, content):
    run[1].write_bytes(content)
    with pytest.raises(CheckpointError, match=r"iter_2.pth"):
        evaluate(*run, work_dir=data / "w")


def test_a_missing_checkpoint_is_told_at_once(data):
    with pytest.raises(CheckpointError, match="there is no such file"):
        evaluate(write_config(data), data / "no.pth", work_dir=data / "w")
    assert not (data / "w").exists()


# MMSegmentation's own way to use what was trained -----------------------------------------------


@pytest.mark.filterwarnings("ignore:Failed to add .*LocalVisBackend:UserWarning")
def test_mmseg_inferencer_takes_config_and_checkpoint(data, run):
    from mmseg.apis import MMSegInferencer

    inferencer = MMSegInferencer(model=run[0], weights=str(run[1]), device="cpu")
    image = str(data / "img" / "val" / "t0.png")
    predicted = inferencer(image, show=False, out_dir=str(data / "shown"))["predictions"]
    evaluate(*run, work_dir=data / "w", out=data / "maps")
    np.testing.assert_array_equal(predicted, np.array(Image.open(data / "maps" / "t0.png")))
    assert tuple(inferencer.visualizer.dataset_meta["classes"]) == CLASSES
    assert list((data / "shown").rglob("*.jpg")) + list((data / "shown").rglob("*.png"))
