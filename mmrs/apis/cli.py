"""What every tool does with what goes wrong: one line on stderr and an exit status.

Imports nothing heavy: a broken torch or mmcv must still be told in one line.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

from mmrs.compat import explain_import_error
from mmrs.errors import MmrsError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# PyTorch rebuilds a worker's exception from the text of its traceback, so the one line that
# the worker raised is the tail after the last qualified class name.
_WORKER_TAIL = re.compile(r"^Caught \w+ in DataLoader worker process .*\bmmrs\.errors\.\w+: (.*)$")


class UsageError(MmrsError):
    """A command line that cannot mean anything; exit status 2."""


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser that already knows ``--debug``.

    Args:
        description: The tool in one sentence, shown by ``--help``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``; its words are read by ``config.config_load.parse_cfg_options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="KEY=VALUE",
        help="override keys of the config: model.decode_head.num_classes=3, key='[1,2]'",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--local-rank`` (which some launchers pass by themselves)."""
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm", "mpi"),
        default="none",
        help="what starts the processes; torchrun is pytorch",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def error_line(error: BaseException) -> str:
    """Return the one line that a user should read for ``error``, without a prefix.

    An :class:`MmrsError` that a DataLoader worker raised arrives wrapped in the text of its
    traceback; only its own line is kept.
    """
    line = " ".join(str(error).split())
    tail = _WORKER_TAIL.match(line)
    return tail.group(1) if tail else line


def find_mmrs_error(error: BaseException) -> MmrsError | None:
    """Return the first :class:`MmrsError` in the chain of causes, or None.

    MMEngine's registries re-raise what a constructor raises under another type, with the
    original as its cause.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        if isinstance(current, MmrsError):
            return current
        seen.add(id(current))
        current = current.__cause__ or current.__context__
    return None


def run(
    main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None
) -> int:
    """Run a tool's ``main(argv)`` and turn whatever it raises into a line and a status.

    Args:
        main: Parses its arguments and works; returns an exit status or None for 0.
        argv: Arguments without the program's name; None reads ``sys.argv``.

    Returns:
        0 done; 1 bad input or an internal error; 2 bad usage; 130 interrupted. With
        ``--debug`` among the arguments the traceback is printed before the line.
    """
    debug = "--debug" in (sys.argv[1:] if argv is None else argv)
    try:
        status = main(argv) or 0
        _leave_other_processes()
        return status
    except KeyboardInterrupt:
        _tell("interrupted", debug)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has gone; there is nobody to tell.
        sys.stderr.close()
        return EXIT_ERROR
    except Exception as error:
        known = find_mmrs_error(error) or explain_import_error(error)
        if known is not None:
            _tell(f"error: {error_line(known)}", debug)
            return EXIT_USAGE if isinstance(known, UsageError) else EXIT_ERROR
        hint = "" if debug else " (--debug shows the traceback)"
        _tell(f"internal error: {type(error).__name__}: {error_line(error)}{hint}", debug)
        return EXIT_ERROR


def _leave_other_processes() -> None:
    """Leave the group of processes, where this one is in one, once all have come to their end.

    A process that ends with the group's threads still running is aborted now and then, at its very
    last step: ``terminate called without an active exception``, and a status that is not 0.
    """
    distributed = sys.modules.get("torch.distributed")  # else there can be no group
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    with suppress(RuntimeError):  # the others have gone already
        distributed.barrier()
    distributed.destroy_process_group()


def _tell(line: str, debug: bool) -> None:
    if debug:
        traceback.print_exc(file=sys.stderr)
    print(line, file=sys.stderr)
