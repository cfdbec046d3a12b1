"""Doors: what is added is known at one place. Here, that nobody else knows a concrete method."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import optitrip
from examples import LOSSES, METHODS, WIDE_LOSSES
from optitrip.methods import registry

PACKAGE = Path(optitrip.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = {word: PACKAGE.joinpath(*place.partition(":")[0].split(".")[1:-1]) for word, place in registry.METHODS.items()}
"""The folder of each method in the registry."""
SHARED = PACKAGE / "methods" / "shared"
EXEMPT = {"__init__.py", "methods/registry.py"}
"""Public names of the package; the one line of each method."""
USES = {"descent": {"optitrip.methods.gradient.method"}, "trip": {"optitrip.methods.registry"}}
"""What methods may import beside `shared`, their own folder and what is below them."""
EVERYDAY = {"loss"}
"""Columns whose name is everybody's word."""
OBJECTIVE_S = {"objective.py": {"gradient"}, "loading.py": {"gradient"}}
"""Names of what an objective offers that happen to be a method's word."""
ENDINGS = (".npz", ".parquet", ".png", ".json")


def path_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def classes(folder: Path) -> set[str]:
    """Names of a folder's classes: methods, configs, results, answers and all others."""
    trees = (ast.parse(file.read_bytes()) for file in folder.glob("*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string with its line; those that stand alone document something."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def file_names(folder: Path) -> set[str]:
    """Names of the files that a method's answers have."""
    found = (text for file in folder.glob("*.py") for _, text in texts(ast.parse(file.read_bytes())))
    return {text for text in found if text.endswith(ENDINGS) and text not in ENDINGS and " " not in text}


def columns(folder: Path) -> set[str]:
    """Names of the columns of its parts, as it makes them of every loss that it takes."""
    package = ".".join(("optitrip", *folder.relative_to(PACKAGE).parts, ""))
    found: set[str] = set()
    for make in METHODS.values():
        method = make(4)
        if not type(method).__module__.startswith(package):
            continue
        for objective in (LOSSES["scalar"], LOSSES["screened"], WIDE_LOSSES["structured"]):
            offers = objective.offers
            if (not getattr(method, "screen", None) or objective.surrogate) and bool(offers.around) == takes_deltas(method):
                found |= set(method.evaluate(method.prepare(objective), range(method.items)).columns)
    return found - EVERYDAY
