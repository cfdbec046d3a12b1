"""Settings of the process that optitrip's own files, pictures and messages need as they were before the user's code."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from optitrip.runtime.libraries import make_path_a_list, search_path


def umask() -> int:
    """Return the mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (os.getcwd, os.chdir),
    (umask, os.umask),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (lambda: dict(os.environ), os.environ.update),
)
"""Functions that read and write each setting."""


class OwnState:
    """The settings of this process when an object of this class is made.

    Nothing that is new is taken away: Ray and MLflow, which may be starting in the background, set variables and import
    paths of their own.
    """

    def __init__(self) -> None:
        self._values, self._paths = read_all(), search_path()

    @contextmanager
    def restored(self) -> Generator[None]:
        """Have the body run under these settings; give the user's code its own back after it."""
        make_path_a_list()
        users, missing = read_all(), [path for path in self._paths if path not in sys.path]
        unset = self._values[-1].keys() - os.environ.keys()
        write_all(self._values)
        sys.path.extend(missing)
        try:
            yield
        finally:
            write_all(users)
            for name in unset:
                os.environ.pop(name, None)
            for path in missing:
                if path in sys.path:
                    sys.path.remove(path)


def read_all() -> list[Any]:
    values: list[Any] = []
    for read, _ in SETTINGS:
        try:
            values.append(read())
        except OSError:  # the working directory was removed
            values.append(None)
    return values


def write_all(values: list[Any]) -> None:
    for (_, write), value in zip(SETTINGS, values, strict=True):
        with suppress(Exception):  # e.g. os.environ replaced by a dict of anything
            if value is not None:
                write(value)
