"""Imports point one way: a package imports only from those below it."""

import ast
from pathlib import Path

import pytest

import emojax

ROOT = Path(emojax.__file__).parent
LAYERS = [
    {"style_pack", "port_vgg16"},
    {"__main__"},
    {"ray"},
    {"cli"},
    {"train", "web", "export"},
    {"video"},
    {"pipeline"},
    {"weights", "paint"},
    {"losses"},
    {"nets"},
    {"faces"},
    {"options"},
    {"images"},
    {"emotions"},
    {"util"},
    {"errors", ""},
]
"""packages from top to bottom; those of one layer do not import each other. The programs of packages,
`emojax.PACKAGE.__main__`, are above all packages."""


def package(module):
    parts = module.split(".")
    return parts[-1] if parts[-1] == "__main__" else parts[1] if len(parts) > 1 else ""


def imports():
    """(package, package that it imports, file) of every import in the package."""
    for path in ROOT.rglob("*.py"):
        name = ".".join(("emojax", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "emojax":
                targets = [f"emojax.{alias.name}" for alias in node.names] if node.module == "emojax" else [node.module]
                yield from ((package(name), package(target), path) for target in targets)


def test_every_package_is_on_a_layer():
    packages = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"__init__"} == {name for layer in LAYERS for name in layer if name}


@pytest.mark.parametrize("below", range(len(LAYERS)))
def test_imports_point_down(below):
    level = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    level["__version__"] = level[""]
    upwards = {
        (source, target, path.name)
        for source, target, path in imports()
        if level[source] == below and source not in ("", target) and level.get(target, len(LAYERS)) <= below
    }
    assert not upwards
