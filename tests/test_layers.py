"""Imports point one way: a package imports only from those below it.

All imports count: those inside functions, which only delay the import, and those for type checkers, because a type that a
package names is one that it depends on.
"""

import ast
import functools
import graphlib
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


def modules_in(source, folder):
    """What a file in a package's folder imports from emojax, however it does: modules, or names in them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "emojax")
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            if module.split(".")[0] == "emojax":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def modules():
    """(module, folder, file) of every file in the package."""
    for path in ROOT.rglob("*.py"):
        parts = ["emojax", *path.relative_to(ROOT).with_suffix("").parts]
        yield ".".join(parts).removesuffix(".__init__"), parts[:-1], path


@functools.cache
def imports():
    """(module, what it imports) of every import in the package."""
    return [(name, target) for name, folder, path in modules() for target in modules_in(path.read_text(), folder)]


@pytest.mark.parametrize(
    "source",
    [
        "from emojax.train.loop import fit",
        "from emojax import train",
        "import emojax.train.loop",
        "import numpy, emojax.train as other",
        "def later():\n    import emojax.train",
        "class Late:\n    from emojax.train import loop",
        "if TYPE_CHECKING:\n    from emojax.train.loop import DataIterator",
        "from ..train import loop",
        "from .. import train",
    ],
)
def test_every_way_to_import_is_seen(source):
    assert [package(target) for target in modules_in(source, ["emojax", "nets"])] == ["train"]


def test_what_is_imported_from_the_same_package_or_elsewhere():
    source = "from . import layers\nfrom .layers import instance_norm\nimport jax\nfrom emojaxes import train"
    assert {package(target) for target in modules_in(source, ["emojax", "nets"])} == {"nets"}


def test_every_package_is_on_a_layer():
    packages = {path.stem for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"__init__"} == {name for layer in LAYERS for name in layer if name}


@pytest.mark.parametrize("below", range(len(LAYERS)))
def test_imports_point_down(below):
    level = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    level["__version__"] = level[""]
    upwards = {
        (module, target)
        for module, target in imports()
        if level[source := package(module)] == below
        and source not in ("", package(target))
        and level.get(package(target), len(LAYERS)) <= below
    }
    assert not upwards


def circle(graph):
    """The modules of a circle in a graph of imports, {module: modules that it imports}; none if there is no circle."""
    sorter = graphlib.TopologicalSorter(graph)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) and not circle({"a": {"b", "c"}, "b": {"c"}})


def test_no_modules_import_each_other():
    """The front door, `emojax` itself, is left out: it imports what callers ask for, and has the version."""
    names = {name for name, *_ in modules()} - {"emojax"}
    graph = {name: set() for name in names}
    for module, target in imports():
        imported = target if target in names else target.rpartition(".")[0]
        if {module, imported} <= names and imported != module:
            graph[module].add(imported)
    assert not circle(graph)
