"""Scalars of several runs in one work directory."""

import json

from mmrs.engine.scalar_files import read_scalars


def write(work_dir, run, lines, tail=""):
    folder = work_dir / run / "vis_data"
    folder.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "scalars.json").write_text(text + tail)


def points(work_dir) -> dict:
    return {
        name: list(zip(steps.tolist(), values.tolist(), strict=True))
        for name, (steps, values) in read_scalars(work_dir).items()
        if name != "step"
    }


def test_a_resumed_run_goes_on_where_it_left_and_replaces_what_was_lost(tmp_path):
    first = [{"loss": 9 - step, "lr": 0.1, "step": step} for step in (1, 2, 3, 4)]
    write(tmp_path, "20260101_000000", first, tail='{"loss": 4, "st')  # killed
    write(tmp_path, "20260101_000100", [{"loss": 6.5, "step": 3}, {"loss": 5.5, "step": 4}])
    found = points(tmp_path)
    assert found["loss"] == [(1, 8.0), (2, 7.0), (3, 6.5), (4, 5.5)]
    assert found["lr"] == [(1, 0.1), (2, 0.1)]


def test_scores_of_other_steps_stand_beside_the_loss(tmp_path):
    lines = [{"knn": 50, "step": 0}, {"loss": 3, "step": 2}, {"knn": 60, "step": 2}]
    write(tmp_path, "a", lines)
    assert points(tmp_path) == {"knn": [(0, 50.0), (2, 60.0)], "loss": [(2, 3.0)]}


def test_prefixes_are_taken_off_and_what_is_no_number_is_left_out(tmp_path):
    line = {"train/loss": 2.0, "val/knn": 40, "note": "x", "good": True, "bad": None, "step": 5}
    write(tmp_path, "a", [line], tail='[1]\n"x"\n{"loss": 1}\n{"loss": NaN, "step": 6}\n')
    found = read_scalars(tmp_path)
    assert set(found) == {"loss", "knn", "step"}
    assert found["loss"][0].tolist() == [5, 6] and found["loss"][1][0] == 2.0


def test_nothing_is_read_from_nothing(tmp_path):
    assert read_scalars(tmp_path) == {}
    write(tmp_path, "a", [])
    assert read_scalars(tmp_path) == {}
