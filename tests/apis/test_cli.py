"""The last-resort handler: one line on stderr, an exit status, a traceback only on request."""

from __future__ import annotations

import sys

import pytest
from torch.utils.data import DataLoader, Dataset

from mmrs.apis.cli import UsageError, error_line, make_parser, run
from mmrs.errors import ConfigError, DataError, LabelError, MmrsError


def raising(error: BaseException):
    def main(argv):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            LabelError("value 7", where="a.png", fix="map it"),
            1,
            "error: a.png: value 7. Fix: map it",
        ),
        (UsageError("no", where="--x", fix="y"), 2, "error: --x: no. Fix: y"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "internal error: ZeroDivisionError: division by zero (--debug shows the traceback)",
        ),
    ],
)
def test_one_line_and_a_status(capsys, error, status, line):
    assert run(raising(error), []) == status
    told = capsys.readouterr()
    assert told.err == line + "\n" and told.out == ""


@pytest.mark.parametrize("error", [DataError("bad"), ValueError("bug"), KeyboardInterrupt()])
def test_debug_adds_the_traceback(capsys, error):
    assert run(raising(error), ["--debug"]) != 0
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last)")
    assert "--debug shows" not in told.splitlines()[-1]


def test_success_is_0():
    assert run(lambda argv: None, []) == 0
    assert run(lambda argv: 3, []) == 3


def test_the_cause_is_found_behind_what_a_library_raises_from_it(capsys):
    def main(argv):
        try:
            raise DataError("no band 4", where="a.tif")
        except DataError as error:
            raise TypeError("class X in y.py: no band 4") from error

    assert run(main, []) == 1
    assert capsys.readouterr().err == "error: a.tif: no band 4\n"


def test_usage_errors_of_argparse_are_2():
    with pytest.raises(SystemExit) as caught:
        run(lambda argv: make_parser("x").parse_args(argv), ["--nonsense"])
    assert caught.value.code == 2


class Bad(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise LabelError("value 9: too high", where="é x/t.png", fix="map it")


def test_a_workers_error_is_told_as_it_was_raised():
    with pytest.raises(MmrsError) as caught:
        next(iter(DataLoader(Bad(), num_workers=1)))
    assert "Traceback" in str(caught.value), "PyTorch wraps it: otherwise this tests nothing"
    assert error_line(caught.value) == "é x/t.png: value 9: too high. Fix: map it"


def test_a_plain_error_is_its_own_line():
    assert error_line(DataError("a\nb", where="c")) == "c: a b"


class Group:
    """What a tool uses of ``torch.distributed``."""

    def __init__(self, *, initialized: bool, lost: bool = False) -> None:
        self.initialized, self.lost = initialized, lost
        self.calls: list[str] = []

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return self.initialized

    def barrier(self) -> None:
        self.calls.append("barrier")
        if self.lost:
            raise RuntimeError("connection closed by peer")

    def destroy_process_group(self) -> None:
        self.calls.append("destroy")


@pytest.mark.parametrize("lost", [False, True])
def test_a_tool_leaves_the_other_processes_once_all_are_done(monkeypatch, lost: bool) -> None:
    group = Group(initialized=True, lost=lost)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    assert run(lambda argv: None, []) == 0
    assert group.calls == ["barrier", "destroy"]


def test_a_tool_waits_for_nobody_after_an_error_or_alone(monkeypatch, capsys) -> None:
    def fail(argv) -> None:
        raise ConfigError("no")

    group = Group(initialized=True)
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    assert run(fail, []) == 1
    group.initialized = False
    assert run(lambda argv: 0, []) == 0
    assert group.calls == []
