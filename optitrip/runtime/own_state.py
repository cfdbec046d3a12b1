"""Settings of the process that optitrip's own files, pictures and messages need as they were before the user's code."""

import os
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any


def umask() -> int:
    """Return the mask of permissions, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def set_path(folders: list[str]) -> None:
    sys.path[:] = folders


SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (os.getcwd, os.chdir),
    (umask, os.umask),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (lambda: list(sys.path), set_path),
    # Variables that are new stay: MLflow and Ray read those that we set for them.
    (lambda: dict(os.environ), os.environ.update),
)


class OwnState:
    """The settings of this process when an object of this class is made."""

    def __init__(self) -> None:
        self._values = read_all()

    @contextmanager
    def restored(self) -> Generator[None]:
        """Have the body run under these settings and without warnings; give the user's code its own back after it."""
        users, environment = read_all(), dict(os.environ)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_all(self._values)
            try:
                yield
            finally:
                write_all(users)
                for name in self._values[-1].keys() - environment.keys():
                    os.environ.pop(name, None)


def read_all() -> list[Any]:
    values: list[Any] = []
    for read, _ in SETTINGS:
        with suppress(OSError):  # the working directory was removed
            values.append(read())
            continue
        values.append(None)
    return values


def write_all(values: list[Any]) -> None:
    for (_, write), value in zip(SETTINGS, values, strict=True):
        with suppress(OSError, RecursionError):
            if value is not None:
                write(value)
