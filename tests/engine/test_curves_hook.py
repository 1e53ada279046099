"""The picture is there at intervals and at the end, over resumed runs, and never ends one."""

import numpy as np
import pytest

from mmrs.engine import CurvesHook
from mmrs.engine import curves as curves_module
from mmrs.errors import ConfigError, OutputError
from tests.engine.tiny_pretraining import lines_of, make_runner, scenes, write_scenes


@pytest.fixture
def drawn(monkeypatch) -> list[dict]:
    kept, draw = [], curves_module.draw_curves

    def keep(curves, out, *, title):
        kept.append({"curves": curves, "out": out, "title": title})
        return draw(curves, out, title=title)

    monkeypatch.setattr(curves_module, "draw_curves", keep)
    return kept


def test_a_resumed_run_draws_the_whole_of_it(tmp_path, drawn):
    knn = {"type": "mmrs.KNNHook", "dataset": scenes(write_scenes(tmp_path / "set")), "interval": 4}
    hooks = [{"type": "mmrs.CurvesHook", "interval": 4}, knn, {"type": "mmrs.EmbeddingSpreadHook"}]
    hooks[2].update(interval=2, num_embeddings=8)
    runner = make_runner(tmp_path / "w", hooks, steps=6)
    runner.train()
    # at the interval and at the end, each with what the logger wrote in that step
    assert [call["curves"]["loss"][0].tolist() for call in drawn] == [[2, 4], [2, 4, 6]]
    assert drawn[1]["curves"]["knn"][0].tolist() == [0, 4, 6]
    assert (tmp_path / "w" / "curves.png").is_file()
    assert drawn[1]["title"] == f"{runner.experiment_name}, 6 of 6 steps"

    # the last checkpoint is that of step 4
    (tmp_path / "w" / "iter_6.pth").unlink()
    (tmp_path / "w" / "last_checkpoint").write_text(str(tmp_path / "w" / "iter_4.pth"))
    runner._timestamp, resumed = None, make_runner(tmp_path / "w", hooks, steps=8, resume=True)
    resumed._log_dir = str(tmp_path / "w" / "99990101_000000")
    resumed.train()
    last = drawn[-1]["curves"]
    assert last["loss"][0].tolist() == [2, 4, 6, 8]
    assert np.array_equal(last["loss"][1][:2], drawn[1]["curves"]["loss"][1][:2])
    assert {"lr", "top1", "top5", "spread", "effective_rank", "knn_low"} <= set(last)


def test_the_pictures_name_can_be_chosen(tmp_path):
    make_runner(tmp_path, [CurvesHook(file_name="loss/c.png")], steps=2).train()
    assert (tmp_path / "loss" / "c.png").is_file() and not (tmp_path / "curves.png").exists()


def test_a_picture_that_cannot_be_written_ends_no_run(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OutputError("no space", where="c.png")

    monkeypatch.setattr(curves_module, "draw_curves", refuse)
    runner = make_runner(tmp_path, [CurvesHook(interval=1)], steps=3)
    runner.train()
    assert lines_of(runner).count("no picture of the curves: c.png: no space") == 1


def test_a_run_that_logs_nowhere_is_told(tmp_path):
    runner = make_runner(tmp_path, [CurvesHook(interval=1)], steps=2, visualizer=None)
    for backend in list(runner.visualizer._vis_backends):
        runner.visualizer._vis_backends.pop(backend)
    runner.train()
    assert lines_of(runner).count("no picture of the curves: nothing was logged") == 1


def test_the_interval_is_checked():
    with pytest.raises(ConfigError, match=r"CurvesHook\.interval: must be >= 1, got 0"):
        CurvesHook(interval=0)
