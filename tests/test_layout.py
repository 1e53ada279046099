"""Imports point down the list of layers, never up and never sideways: told from the syntax tree."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lowest first. A module may import what stands before its own layer, and its own package.
LAYERS = [
    ("mmrs.version",),
    ("mmrs.errors",),
    ("mmrs.label_check",),
    ("mmrs.weight_file",),
    ("mmrs.compat", "mmrs.registry"),
    ("mmrs.pretrained",),
    ("mmrs.ops",),
    ("mmrs.models.layers",),
    (
        "mmrs.models.backbones",
        "mmrs.models.necks",
        "mmrs.models.heads",
        "mmrs.models.losses",
        "mmrs.models.segmentors",
    ),
    ("mmrs.models",),
    ("mmrs.geo",),
    ("mmrs.geo.polygons", "mmrs.geo.rows"),
    ("mmrs.geo.maps",),
    ("mmrs.datasets",),
    ("mmrs.engine",),
    tuple(f"mmrs.apis.{n}" for n in ("cli", "environment", "guarded_pipeline", "progress")),
    ("mmrs.apis.overlay",),
    ("mmrs.apis.config",),
    ("mmrs.apis.channels",),
    ("mmrs.apis.weights", "mmrs.apis.checks"),
    ("mmrs.apis.window", "mmrs.apis.prepare"),
    ("mmrs.apis.onnx", "mmrs.apis.scene", "mmrs.apis.score"),
    ("mmrs.apis",),
    ("mmrs.apis.demo",),
]
# What a package must not import at all, beside what the order forbids.
FORBIDDEN = {
    "mmrs.ops": ("mmengine", "mmcv", "mmseg", "mmpretrain", "mmrs.registry"),
    "mmrs.models.layers": ("mmengine.registry", "mmseg", "mmpretrain", "mmrs.registry"),
    "mmrs.geo": (
        *("torch", "torchvision", "mmengine", "mmcv", "mmseg", "mmpretrain"),
        *("mmrs.ops", "mmrs.models", "mmrs.datasets", "mmrs.registry", "mmrs.compat"),
    ),
    "mmrs.errors": ("torch", "numpy", "mmengine"),
    "mmrs.version": ("torch", "numpy", "mmengine"),
}
# `import mmrs` itself runs these two; it is their root, not a layer above them.
ROOT_PACKAGE_MAY = {"mmrs.compat", "mmrs.version"}


def python_files(folder: str) -> list[Path]:
    found = [p for p in (ROOT / folder).rglob("*.py") if ".mim" not in p.parts]
    return sorted(found)


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_import: bool = False) -> set[str]:
    """Absolute names of all modules that a file imports; those inside functions count too.

    Args:
        path: A Python file under the root.
        at_import: Only what is imported together with the file, not inside a function.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module_name(path)
    if path.name != "__init__.py":
        package = package.rpartition(".")[0]
    found = set()
    nodes = _top_level(tree) if at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def _top_level(tree: ast.AST):
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _top_level(node)


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def layer_of(name: str) -> tuple[int, str] | None:
    """Index and package of the layer that a module belongs to: the longest that fits."""
    fitting = [
        (len(package), index, package)
        for index, packages in enumerate(LAYERS)
        for package in packages
        if inside(name, package)
    ]
    return max(fitting)[1:] if fitting else None


def order_violations(module: str, imported: set[str]) -> list[str]:
    own = layer_of(module)
    if own is None:
        return []
    wrong = []
    for name in sorted(imported):
        other = layer_of(name)
        if other is None or other[1] == own[1]:
            continue
        if other[0] >= own[0]:
            wrong.append(f"{module} imports {name}")
    return wrong


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mmrs.ops.distance", "mmrs.models.layers"),
        ("mmrs.models.heads.coarse_head", "mmrs.models.losses.joint_loss"),
        ("mmrs.models.backbones.hiresnet", "mmrs.models.necks.x"),
        ("mmrs.models.layers.asp_ocr", "mmrs.models.heads"),
        ("mmrs.geo.raster", "mmrs.engine.hooks"),
        ("mmrs.engine.hooks", "mmrs.apis.predict"),
        ("mmrs.geo.raster", "mmrs.geo.rows.row_spool"),
        ("mmrs.apis.window.window_model", "mmrs.apis.predict"),
        ("mmrs.apis.scene.scene_run", "mmrs.apis.onnx.onnx_model"),
    ],
)
def test_the_order_rule_refuses_what_points_up_or_sideways(module: str, name: str) -> None:
    assert order_violations(module, {name}) == [f"{module} imports {name}"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mmrs.models.heads.coarse_head", "mmrs.models.layers.conv_unit.ConvUnit"),
        ("mmrs.models.heads.coarse_head", "mmrs.models.heads.base.Head"),
        ("mmrs.models", "mmrs.models.heads"),
        ("mmrs.apis.predict", "mmrs.geo.raster"),
        ("mmrs.apis.predict", "mmrs.apis.scene.scene_run"),
        ("mmrs.apis.scene.scene_run", "mmrs.apis.scene.scene_stream"),
        ("mmrs.ops.distance", "torch"),
    ],
)
def test_the_order_rule_allows_what_points_down(module: str, name: str) -> None:
    assert order_violations(module, {name}) == []


def test_imports_point_down() -> None:
    files = python_files("mmrs")
    assert len(files) > 30, "collected too little to mean anything"
    wrong = []
    for path in files:
        wrong += order_violations(module_name(path), imports(path))
    assert wrong == []


def test_every_module_belongs_to_a_layer() -> None:
    names = {module_name(path) for path in python_files("mmrs")} - {"mmrs"}
    assert {name for name in names if layer_of(name) is None} == set()


def test_packages_leave_out_what_they_must_not_know() -> None:
    wrong = []
    for path in python_files("mmrs"):
        module = module_name(path)
        for package, forbidden in FORBIDDEN.items():
            if inside(module, package):
                wrong += [
                    f"{module} imports {name}"
                    for name in sorted(imports(path))
                    if any(inside(name, bad) for bad in forbidden)
                ]
    assert wrong == []


def test_importing_mmrs_imports_only_what_is_light() -> None:
    root = imports(ROOT / "mmrs" / "__init__.py")
    assert {layer for name in root if (layer := layer_of(name))} <= {
        layer_of(name) for name in ROOT_PACKAGE_MAY
    }
    for name in ROOT_PACKAGE_MAY:
        path = ROOT / (name.replace(".", "/") + ".py")
        heavy = {
            found
            for found in imports(path, at_import=True)
            if found.partition(".")[0] in ("torch", "numpy", "cv2", "mmengine", "mmcv", "mmseg")
        }
        assert heavy == set()


def test_tools_only_call_into_apis() -> None:
    wrong = []
    for path in python_files("tools"):
        for name in sorted(imports(path)):
            allowed = (
                name in ("argparse", "sys", "mmrs")
                or inside(name, "mmrs.apis")
                or name.startswith(("__future__.", "collections.abc."))
            )
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_every_pure_function_file_has_its_test() -> None:
    """The maths is in ops and geo: tests/ops/test_distance.py for mmrs/ops/distance.py."""
    missing = []
    for package in ("ops", "geo"):
        for path in python_files(f"mmrs/{package}"):
            room = path.relative_to(ROOT / "mmrs").parent
            test = ROOT / "tests" / room / f"test_{path.name}"
            if path.name != "__init__.py" and not test.is_file():
                missing.append(str(test.relative_to(ROOT)))
    assert missing == []
