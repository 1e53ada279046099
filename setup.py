"""Build hook: what OpenMMLab's tools look for inside the package, at ``mmrs/.mim``.

Everything else about the distribution is in ``pyproject.toml``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ENTRIES = ("configs", "tools", "model-index.yml")
LEAVE_OUT = shutil.ignore_patterns("__pycache__", "*.py[co]", ".*")


class BuildPyWithMim(build_py):
    """``build_py`` that also puts configs, tools and the model index into ``mmrs/.mim``.

    The classic recipe hooks ``develop``, which pip no longer calls for an editable install;
    ``build_py`` runs for both kinds, and tells them apart by ``editable_mode``.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            self._link_into_checkout()
        else:
            self._copy_into_build()

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        if not self.editable_mode:
            target = Path(self.build_lib, "mmrs", ".mim")
            outputs += [str(path) for path in sorted(target.rglob("*")) if path.is_file()]
        return outputs

    def _copy_into_build(self) -> None:
        target = Path(self.build_lib, "mmrs", ".mim")
        shutil.rmtree(target, ignore_errors=True)
        for name in MIM_ENTRIES:
            _copy(ROOT / name, target / name)

    def _link_into_checkout(self) -> None:
        target = ROOT / "mmrs" / ".mim"
        target.mkdir(exist_ok=True)
        for name in MIM_ENTRIES:
            link = target / name
            if link.is_symlink() or link.is_file():
                link.unlink()
            elif link.is_dir():
                shutil.rmtree(link)
            try:
                link.symlink_to(os.path.join("..", "..", name))
            except OSError:  # a file system or an account without symbolic links
                _copy(ROOT / name, link)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=LEAVE_OUT)
    else:
        shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildPyWithMim})
