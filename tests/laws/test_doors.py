"""Doors: nobody outside its folder knows a concrete method, and what is added to a registry can be used everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import optitrip
from examples import METHODS
from optitrip.methods import registry
from optitrip.methods.wrapped import Wrapped

PACKAGE = Path(optitrip.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {word: place.partition(":")[0].rpartition(".")[0] for word, place in registry.METHODS.items()}
"""The package of each method in the registry."""
EXEMPT = {"__init__.py", "methods/registry.py"}
"""Public names, and the one line of each method."""
USES = {
    "directional": ["optitrip.methods.gradient", "optitrip.methods.estimate"],
    "estimate": [f"optitrip.methods.gradient.{name}" for name in ("flags", "limits", "measuring", "noise", "steps")],
    "descent": ["optitrip.methods.gradient", "optitrip.methods.estimate"],
    "adaptive": ["optitrip.methods.search"],
    "local_search": ["optitrip.methods.gradient.limits"],
    "trip": ["optitrip.methods.registry"],
}
"""Modules of other methods that a method may import beside `shared`, by its word."""
NAMESAKES = {
    "loss/objective.py": {"gradient"},
    "loss/loading.py": {"gradient"},
    "loss/offers.py": {"gradient"},
    "methods/gradient/answer.py": {"steps"},
    "methods/directional/answer.py": {"steps"},
    **{f"methods/descent/{name}.py": {"gradient", "coordinates", "directions"} for name in ("sources", "spec")},
    **{
        f"methods/estimate/{name}.py": {"coordinates"}
        for name in ("answer", "combination", "directions", "route", "spec")
    },
}
"""Words that are a method's and mean something else there: what an objective offers, a field in a digest, a kind of
directions, the lengths h of differences."""
EVERYDAY = {"loss"}
"""Columns that have the name of something that all know."""
FILE_NAME = (".npz", ".parquet", ".png", ".json")


@cache
def tree(file: str) -> ast.Module:
    return ast.parse(FILES[file].read_bytes())


def folder(word: str) -> str:
    """The beginning of the paths of a method's files."""
    return "/".join(MODULES[word].split(".")[1:]) + "/"


def texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings with their lines, without those that stand alone, which are documentation."""
    alone = {id(one.value) for one in ast.walk(node) if isinstance(one, ast.Expr)}
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in alone:
            yield one.lineno, one.value


@cache
def own_classes(word: str) -> set[str]:
    """A method's classes: its config, result and answer, and all others."""
    trees = [tree(file) for file in FILES if file.startswith(folder(word))]
    return {node.name for one in trees for node in ast.walk(one) if isinstance(node, ast.ClassDef)}


@cache
def own_words(word: str) -> set[str]:
    """Strings that mean something to a method: its word, its unit, its columns, what columns begin with, its files."""
    found = {word, registry.find(word).unit}
    for make in METHODS.values():
        method = make(4)
        if type(method).__module__.startswith(f"{MODULES[word]}.") and not isinstance(method, Wrapped):
            found |= set(method.failed_part(range(method.items), []).columns)
    for file in FILES:
        if file.startswith(folder(word)):
            found |= {text for _, text in texts(tree(file)) if text.endswith(FILE_NAME) and text not in FILE_NAME}
            constants = [node.value for node in tree(file).body if isinstance(node, ast.Assign)]
            found |= {text for one in constants for _, text in texts(one) if text.endswith("_")}
    builds_on = [other for other, module in MODULES.items() if module in USES.get(word, ())]
    return found - EVERYDAY - {text for other in builds_on for text in own_words(other)}


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of each import, those for annotations included."""
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            yield from ((one.lineno, alias.name) for alias in one.names)
        elif isinstance(one, ast.ImportFrom) and one.module:
            yield from ((one.lineno, f"{one.module}.{alias.name}") for alias in one.names)


def knowing(file: str, node: ast.AST, word: str) -> list[str]:
    """The places where a file, or a part of it, knows a method."""
    package, classes = f"{MODULES[word]}.", own_classes(word)
    builders = [mine for mine, uses in USES.items() if MODULES[word] in uses and file.startswith(f"methods/{mine}/")]
    words = set[str]() if builders else own_words(word) - NAMESAKES.get(file, set())
    allowed = tuple(use for mine, uses in USES.items() if file.startswith(f"methods/{mine}/") for use in uses)
    found = [
        (line, name)
        for line, name in imports(node)
        if not name.startswith(allowed)
        and (f"{name}.".startswith(package) or (name.rpartition(".")[2] in classes and not file.startswith("methods/")))
    ]
    found += [
        (one.lineno, one.attr) for one in ast.walk(node) if isinstance(one, ast.Attribute) and one.attr in classes
    ]
    found += [(line, text) for line, text in texts(node) if text in words | classes or package in text]
    return [f"{file}:{line} knows {what}" for line, what in sorted(set(found))]


@pytest.mark.parametrize("word", MODULES)
def test_every_method_has_its_examples(word: str) -> None:
    """So that the laws of methods, and those below, are about it."""
    own = [make(4) for make in METHODS.values() if type(make(4)).__module__.startswith(f"{MODULES[word]}.")]
    assert word in {method.kind for method in own if method.main}
    assert len(own_classes(word)) > 3
    assert len(own_words(word)) > (0 if word in USES else 3)  # what builds on another has the words of that one


@pytest.mark.parametrize("word", MODULES)
def test_no_file_outside_its_folder_knows_a_method(word: str) -> None:
    """No import, no name of a class, no word, unit, column or file of one: whoever needs one asks the descriptor."""
    others = [file for file in FILES if not file.startswith((folder(word), "api/")) and file not in EXEMPT]
    assert not [place for file in others for place in knowing(file, tree(file), word)]


def test_methods_do_not_know_each_other_through_the_registry() -> None:
    """Only a method that is made of others asks it for them."""
    asking = {
        file.split("/")[1]
        for file in FILES
        if file.startswith("methods/") and file.count("/") > 1
        for _, name in imports(tree(file))
        if name.startswith(registry.__name__)
    }
    assert asking <= {word for word, uses in USES.items() if registry.__name__ in uses}


@pytest.mark.parametrize("word", MODULES)
def test_only_public_functions_of_the_api_know_a_method(word: str) -> None:
    """`search` and `gradient` are functions there; what they share is for every method."""
    for file in ("api/session.py", "api/descents.py"):
        rest = Private().visit(ast.parse(FILES[file].read_bytes()))
        names = [node for node in ast.walk(rest) if isinstance(node, ast.Name) and node.id in own_classes(word)]
        assert not knowing(file, rest, word) + [f"{file}:{node.lineno} knows {node.id}" for node in names]
    assert not knowing("api/runner.py", tree("api/runner.py"), word)


class Private(ast.NodeTransformer):
    """Leaves out imports and public functions."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Leave it out."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef | None:
        return node if node.name.startswith("_") else None


def test_the_law_sees() -> None:
    """Each way to know a method is found."""
    ways = {
        "import": "from optitrip.methods.search import method",
        "import later": "def f():\n    import optitrip.methods.search.answer",
        "public name": "from optitrip import SearchAnswer",
        "module by name": "import_module('optitrip.methods.search.answer')",
        "class": "registry.find('count').Search",
        "word": "sweep.spec.word == 'search'",
        "column": "part.columns['best_loss']",
        "file": "folder / 'best.npz'",
        "unit": "unit = 'candidates'",
    }
    assert {way for way, code in ways.items() if len(knowing("new.py", ast.parse(code), "search")) != 1} == set()
    assert not knowing("new.py", ast.parse("def research():\n    '''search'''"), "search")
