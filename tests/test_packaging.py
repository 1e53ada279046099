"""What is built is what is promised: built once from a copy, without isolation and network."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONFIGS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "configs").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)

BUILD = """
import os, sys
from setuptools import build_meta
out = sys.argv[1]  # build_meta overwrites sys.argv
for kind in ("wheel", "editable", "sdist"):
    os.makedirs(os.path.join(out, kind))
    getattr(build_meta, f"build_{kind}")(os.path.join(out, kind))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("src") / "checkout"
    copy.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", ".mim", "*.egg-info")
    for name in ("mmrs", "configs", "tools", "tests", "docs", "benchmarks", "data", ".ci"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, copy)
    return copy


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel, the editable wheel and the source archive, by kind."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(out)],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {kind: next((out / kind).iterdir()) for kind in ("wheel", "editable", "sdist")}


def test_the_wheel_holds_every_config_and_tool(built) -> None:
    names = set(zipfile.ZipFile(built["wheel"]).namelist())
    assert len(CONFIGS) > 5, "collected too little to mean anything"
    assert {f"mmrs/.mim/{name}" for name in CONFIGS} <= names
    tools = {path.name for path in (ROOT / "tools").iterdir() if path.is_file()}
    assert {f"mmrs/.mim/tools/{name}" for name in tools} <= names
    assert "mmrs/.mim/model-index.yml" in names
    assert "mmrs/py.typed" in names


def test_the_wheel_holds_every_module_and_nothing_else(built) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    modules = {name for name in names if name.endswith(".py") and "/.mim/" not in name}
    expected = {
        str(PurePosixPath(path.relative_to(ROOT)))
        for path in (ROOT / "mmrs").rglob("*.py")
        if ".mim" not in path.parts
    }
    assert modules == expected
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"mmrs"}
    assert not [name for name in names if name.endswith((".pyc", ".pth", ".tif", ".png", ".jpg"))]


def test_the_wheel_says_what_it_needs(built) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        path = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = wheel.read(path).decode()
        record = wheel.read(path.replace("METADATA", "RECORD")).decode()
    version = {}
    exec((ROOT / "mmrs" / "version.py").read_text(), version)
    assert f"Version: {version['__version__']}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert re.search(r"^Requires-Python: .*>=3\.11", metadata, re.M)
    required = re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)
    plain = [line for line in required if "extra ==" not in line]
    # an environment with upstream's stack, or another OpenCV, is used as it is
    assert not [line for line in plain if re.match(r"onedl|mm|opencv", line)]
    assert "mmrs/.mim/model-index.yml" in record


def test_an_editable_install_links_to_the_checkout(built, checkout: Path) -> None:
    mim = checkout / "mmrs" / ".mim"
    for name in ("configs", "tools", "model-index.yml"):
        assert (mim / name).resolve() == (checkout / name).resolve()
    # a config that is added later is there without a new install
    new = checkout / "configs" / "added_later.py"
    new.touch()
    assert (mim / "configs" / "added_later.py").exists()
    new.unlink()
    assert not [n for n in zipfile.ZipFile(built["editable"]).namelist() if ".mim" in n]


def test_an_installation_from_a_checkout_with_links_copies_the_configs(built, checkout) -> None:
    # `built` made the links of the editable install; a wheel built now must not hold them
    out = checkout.parent / "again"
    build = BUILD.replace('("wheel", "editable", "sdist")', '("wheel",)')
    subprocess.run(
        [sys.executable, "-c", build, str(out)], cwd=checkout, capture_output=True, check=True
    )
    again = zipfile.ZipFile(next((out / "wheel").iterdir()))
    assert sorted(again.namelist()) == sorted(zipfile.ZipFile(built["wheel"]).namelist())


def test_the_source_archive_can_be_built_and_tested(built) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(CONFIGS) <= names
    for name in ("Makefile", "constraints.txt", "LICENSE", "model-index.yml", ".ci/install"):
        assert name in names
    assert "tests/test_packaging.py" in names
    assert not [name for name in names if ".mim" in name]


# What a user does after either kind of install; it prints one JSON line.
USE = """
import json, site, sys
# an editable mmrs of the environment that runs the tests would answer first
sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in f.__module__]
for name in [name for name in sys.modules if name.startswith("__editable__")]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
site.addsitedir(sys.argv[1])
import mmrs
from mmengine.config import Config
from mmengine.hub import get_config
named = get_config("mmrs::hiresnet/hiresnet_loveda.py")
base = Config.fromfile("own.py")
import torch
from mmengine.registry import DefaultScope
shapes = {}
for scope in sys.argv[2:]:
    models = __import__(f"{scope}.registry", fromlist=["MODELS"]).MODELS
    with DefaultScope.overwrite_default_scope(scope):
        net = models.build(dict(
            type="mmrs.HiResNet", widths=(24, 24, 24), num_modules=(1, 1), num_blocks=(1, 1),
            funnel_channels=8, num_funnel_blocks=1))
    shapes[scope] = [list(x.shape) for x in net.eval()(torch.zeros(1, 3, 32, 32))]
print(json.dumps(dict(
    file=mmrs.__file__, named=named.filename, head=base.model.decode_head.num_classes,
    scopes=[base.model.get("_scope_"), base.model.backbone.type], shapes=shapes)))
"""


@pytest.mark.parametrize(
    ("kind", "scopes"), [("wheel", ["mmseg", "mmpretrain"]), ("editable", ["mmseg"])]
)
def test_configs_and_types_are_found_after_an_installation(
    built, checkout, tmp_path, kind, scopes
) -> None:
    """`mmrs::` inheritance, `get_config`, and `mmrs.X` in stock scopes without custom_imports."""
    site = tmp_path / "site"
    with zipfile.ZipFile(built[kind]) as wheel:
        wheel.extractall(site)
    (tmp_path / "own.py").write_text(
        "_base_ = 'mmrs::hiresnet/hiresnet_loveda.py'\n"
        "model = dict(decode_head=dict(num_classes=3))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", USE, str(site), *scopes],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment_without_python_path(),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    root = site if kind == "wheel" else checkout
    assert told["file"] == str(root / "mmrs" / "__init__.py")
    assert told["named"] == str(root / "mmrs/.mim/configs/hiresnet/hiresnet_loveda.py")
    assert told["head"] == 3
    # stock types in an inherited config must be looked up where they are
    assert told["scopes"] == ["mmseg", "mmrs.HiResNet"]
    expected = [[1, 24, 8, 8], [1, 24, 4, 4], [1, 24, 2, 2]]
    assert told["shapes"] == {scope: expected for scope in scopes}


def environment_without_python_path() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


# ------------------------------------------------------------------- what the files say, together

# import name -> distribution, where they differ
DISTRIBUTION = {
    "mmengine": "onedl-mmengine",
    "mmcv": "onedl-mmcv",
    "mmseg": "onedl-mmsegmentation",
    "mmpretrain": "onedl-mmpretrain",
    "PIL": "pillow",
    "onnx_ir": "onnx-ir",
    "yaml": "pyyaml",
}
# comes with mmcv, see the comment in pyproject.toml
BY_MMCV = {"cv2"}


def imported_roots(folder: str) -> set[str]:
    roots = set()
    for path in (ROOT / folder).rglob("*.py"):
        if ".mim" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add((node.module or "").partition(".")[0])
    own = {"mmrs", "tests", "benchmarks", "__future__"}
    return {root for root in roots if root not in sys.stdlib_module_names} - own


def declared(*groups: str) -> set[str]:
    extras = PROJECT["optional-dependencies"]
    lines = list(PROJECT["dependencies"])
    for group in groups:
        lines += extras[group]
    return {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in lines}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("mmrs", ("openmmlab", "export", "vector")),
        ("tools", ("openmmlab",)),
        ("tests", ("openmmlab", "test")),
    ],
)
def test_what_is_imported_is_declared(folder, extras) -> None:
    needed = {DISTRIBUTION.get(name, name) for name in imported_roots(folder) - BY_MMCV}
    assert needed - declared(*extras) == set()


def test_the_core_dependencies_suffice_without_the_stack() -> None:
    """What `geo` and `ops` import must come without the stack; pyarrow only where asked for."""
    needed = imported_roots("mmrs/geo") | imported_roots("mmrs/ops")
    assert needed - BY_MMCV - declared("vector") == set()


def test_the_constraints_are_exact_names_and_versions() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert len(lines) > 50
    exact = re.compile(r"^[a-z0-9][a-z0-9._-]*==[0-9][0-9A-Za-z.]*( ; [^;@]+)?$")
    assert [line for line in lines if not exact.match(line)] == []
    pinned = {line.partition("==")[0] for line in lines}
    assert declared("openmmlab", "test", "dev") <= pinned


def test_the_metafile_and_the_configs_tell_of_each_other() -> None:
    import yaml

    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    for name in index["Import"]:
        meta = yaml.safe_load((ROOT / name).read_text())
        folder = (ROOT / name).parent
        listed = {model["Config"] for model in meta["Models"]}
        present = {str(path.relative_to(ROOT)) for path in folder.glob("*.py")}
        assert listed == present
        names = {collection["Name"] for collection in meta["Collections"]}
        for model in meta["Models"]:
            assert model["In Collection"] in names
            assert model["Name"] == Path(model["Config"]).stem
            # no trained weights are distributed, and a result needs them
            assert not {"Weights", "Results"} & set(model)


def test_the_version_is_written_in_one_place() -> None:
    version = {}
    exec((ROOT / "mmrs" / "version.py").read_text(), version)
    assert "version" in PROJECT["dynamic"]
    assert f"version: {version['__version__']}\n" in (ROOT / "CITATION.cff").read_text()
