"""One small file uses what only Linux and macOS have, with what stands in for it elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import optitrip
from system_stand_ins import MODULE, absent

PACKAGE = Path(optitrip.__file__).parent
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
}
"""The files of the package, read."""
ALLOWED = {"runtime/posix.py", "runtime/nanny.py"}
"""The file that brings it in, and a program of its own, which imports nothing of optitrip's."""
DANGEROUS = {"os": {"kill"}, MODULE: {"multiprocessing"}, "concurrent.futures": {"ProcessPoolExecutor"}}
"""Names that Windows has, with another meaning: `os.kill` with the signal 0 presses Ctrl-C there, and processes
that are forked on Linux begin anew."""


def forbidden(module: str) -> set[str]:
    """Return the names of a module that are not to be used."""
    return absent(module) | DANGEROUS.get(module, set())


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a file uses that Windows lacks; attributes are of modules imported by their own names."""
    used: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            used += [(MODULE, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "multiprocessing.connection":
            pass  # messages between processes, which starts none
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            used += [(MODULE, node.module.split(".")[0]), *((node.module, alias.name) for alias in node.names)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.append((node.value.id, node.attr))
    yield from (f"{module}: {name}" for module, name in used if name in forbidden(module))


def test_what_windows_lacks_is_used_in_one_file() -> None:
    """A command on Windows meets no missing module, function or signal."""
    assert {file: found for file, tree in TREES.items() if file not in ALLOWED and (found := list(faults(tree)))} == {}


@pytest.mark.parametrize(
    "code",
    ["import fcntl", "from pwd import getpwuid", "os.killpg(1, 9)", "def f():\n    return signal.SIGKILL",
     "from os import fork as f", "from signal import SIGHUP", "os.kill(1, 0)", "socket.socket(socket.AF_UNIX)"],
)  # fmt: skip
def test_each_use_is_found(code: str) -> None:
    """The law above would not hold by mistake."""
    assert len(list(faults(ast.parse(code)))) == 1


def without_encoding(tree: ast.AST) -> Iterator[str]:
    """Yield calls that read or write text in the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {word.arg for word in node.keywords}:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in node.args)
        positional = {"read_text": 1, "write_text": 2}.get(name)
        if positional is not None and len(node.args) < positional:
            yield ast.unparse(node)
        if isinstance(node.func, ast.Name) and name == "open" and not binary:
            yield ast.unparse(node)


def test_text_has_an_encoding() -> None:
    """Python takes that of the locale otherwise, which is rarely UTF-8 on Windows."""
    assert {file: found for file, tree in TREES.items() if (found := list(without_encoding(tree)))} == {}
