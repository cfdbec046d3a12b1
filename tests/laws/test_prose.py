"""Docstrings name their subject, files and functions are short, and the package has few rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

import optitrip

PACKAGE = Path(optitrip.__file__).parent
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.name != "__pycache__" and path.name != "py.typed")
"""The folders and files in the root of the package."""
OPENINGS = ("Of", "By", "What", "The same")
"""Openings that leave the subject of a docstring to be guessed."""
LONGEST_FILE, LONGEST_FUNCTION, MOST_ROOMS = 300, 60, 22
Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def sources(room: str) -> list[Path]:
    path = PACKAGE / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of modules, classes and functions, and of attributes, which stand below an assignment."""
    for scope in ast.walk(tree):
        if isinstance(scope, Scope):
            for before, statement in pairwise([None, *scope.body]):
                documents = before is None or isinstance(before, ast.Assign | ast.AnnAssign)
                text = statement.value if documents and isinstance(statement, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text


def unclear(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the first line of text of each docstring with one of the openings."""
    for docstring in docstrings(tree):
        first = str(docstring.value).strip().split("\n")[0]
        if any(first == opening or first.startswith((f"{opening} ", f"{opening},")) for opening in OPENINGS):
            yield docstring.lineno, first


def long_functions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each function that is too long."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                yield node.lineno, node.name


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("room", ROOMS)
def test_no_docstring_leaves_its_subject_to_be_guessed(room: str) -> None:
    """A function's begins with a verb, all others with a noun: none with Of, By, What or The same."""
    found = [f"{path}:{line}: {text}" for path in sources(room) for line, text in unclear(parsed(path))]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("room", ROOMS)
def test_no_function_is_longer_than_a_screen(room: str) -> None:
    """At most 60 lines, with its docstring."""
    found = [f"{path}:{line}: {name}" for path in sources(room) for line, name in long_functions(parsed(path))]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_is_longer_than_one_idea(room: str) -> None:
    """At most 300 lines."""
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(room)}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_a_reader_can_hold_all_rooms_in_the_head() -> None:
    """At most 22 folders and files in the root of the package."""
    assert len(ROOMS) <= MOST_ROOMS, ROOMS


def test_every_kind_of_unclear_docstring_is_found() -> None:
    """In modules, classes, functions, methods and below attributes; other strings and words are none of them."""
    source = '''
        """What a module says."""
        LIMIT = 1
        """Of all items."""
        seconds: float = 1.0
        """By index."""

        class Sampler:
            """The same, for a class."""

            size: int
            """
            What it holds."""

            def draw(self):
                """By, with a comma."""
                self.drawn = 1
                """Of the stream."""

            async def wait(self):
                """Whatever happens, Official words, Byte counts and the same things later are none."""
                print()
                """Of no statement that a string documents."""
    '''
    assert [line for line, _ in sorted(unclear(ast.parse(dedent(source))))] == [2, 4, 6, 9, 12, 16, 18]


def test_a_long_function_is_found() -> None:
    """One line over the limit is too long, the limit is not."""
    source = "def fits():\n" + "    pass\n" * (LONGEST_FUNCTION - 1) + "def long():\n" + "    pass\n" * LONGEST_FUNCTION
    assert list(long_functions(ast.parse(source))) == [(LONGEST_FUNCTION + 1, "long")]
