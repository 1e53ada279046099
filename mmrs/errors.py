"""What mmrs raises when the input, not the program, is wrong: one line with cause and mend."""

from __future__ import annotations

from pathlib import Path


class MmrsError(Exception):
    """Bad input, told in one line: ``where: what. Fix: how to mend it``.

    Args:
        what: The cause, with the value found and the rule it breaks.
        where: The file, or the config key, that holds it.
        fix: What the user should do.
    """

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None):
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        line = what if self.where is None else f"{self.where}: {what}"
        if fix is not None:
            line = f"{line.rstrip('.')}. Fix: {fix}"
        super().__init__(" ".join(line.split()))


class ConfigError(MmrsError):
    """A config file, key or command-line option is wrong."""


class DataError(MmrsError):
    """An image, raster or data set cannot be used as it is."""


class LabelError(DataError):
    """A label map holds values that the classes do not allow."""


class CheckpointError(MmrsError):
    """A checkpoint is missing, damaged, unsafe or made for another model."""


class EnvironmentError(MmrsError):
    """A library is missing, broken, or of a version that cannot work."""


class OutputError(MmrsError):
    """A result cannot be written; what was there before is untouched."""
