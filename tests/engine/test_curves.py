"""Pictures of curves: which panels, and what is drawn into them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mmrs.engine import curves as curves_module
from mmrs.engine.curves import draw_curves
from mmrs.errors import OutputError

STEPS = np.arange(0, 101, 10)


def made(*names) -> dict:
    return {name: (STEPS, np.linspace(10, 60, 11)) for name in names}


ALL = made(
    *("loss", "lr", "top1", "top5", "spread", "effective_rank", "knn", "knn_low", "knn_high"),
    *("linear_probe", "linear_probe_low", "linear_probe_high", "time"),
)


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    kept = []

    class Kept(Figure):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            kept.append(self)

    monkeypatch.setattr(curves_module, "Figure", Kept)
    return kept


def titles(figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes if axis.get_visible()]


def test_every_curve_is_in_a_panel_with_its_points(tmp_path, figures):
    shifted = {n: (s, v + i) for i, (n, (s, v)) in enumerate(ALL.items())}
    assert draw_curves(shifted, tmp_path / "c.png", title="a run")
    assert len(titles(figures[0])) == 6
    lines = [line for axis in figures[0].axes for line in axis.lines]
    for name in ("loss", "lr", "top1", "top5", "spread", "effective_rank", "knn", "linear_probe"):
        steps, values = shifted[name]
        assert any(
            np.array_equal(line.get_xdata(), steps) and np.array_equal(line.get_ydata(), values)
            for line in lines
        ), name
    # an interval for each of the two accuracies
    assert sum(len(axis.collections) for axis in figures[0].axes) == 2
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size[0] > 1000 and len(np.unique(np.asarray(picture))) > 50


def test_panels_without_values_are_left_out(tmp_path, figures):
    some = {**made("loss", "top1"), "spread": (STEPS, np.full(11, np.nan))}
    assert draw_curves(some, tmp_path / "c.png")
    assert titles(figures[0]) == ["InfoNCE loss", "instance discrimination, %"]


def test_nothing_to_draw_makes_no_picture(tmp_path):
    assert not draw_curves(made("time"), tmp_path / "c.png")
    assert not list(tmp_path.iterdir())


def test_a_picture_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    out = tmp_path / "c.png"
    draw_curves(made("loss"), out)
    before = out.read_bytes()

    def half(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OutputError, match=r"c.png: cannot be written \(No space left on device\)"):
        draw_curves(ALL, out)
    assert out.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["c.png"]
