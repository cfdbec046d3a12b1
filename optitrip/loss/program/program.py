"""A program as a loss: it runs in a folder of its own for each point, and ends with all its descendants."""

import hashlib
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy as duplicate
from pathlib import Path
from typing import Any, Self

import numpy as np

from optitrip.loss.noisy import SEED
from optitrip.loss.program.fill import (
    as_file,
    beside,
    filled_template,
    filled_word,
    names_in_template,
    names_in_word,
    with_names,
    write_array,
)
from optitrip.loss.program.folders import Folders
from optitrip.loss.program.read import STDOUT, read_number
from optitrip.runtime.children import Children, Ended, Unwatched
from optitrip.runtime.nanny import remove

STDERR, TAIL = "stderr", 2_000
"""Name of the file with what a program prints to stderr, and most letters of it in a message."""
WATCHERS = 3
"""Number of times that a run may lose the process that watches it, before it is recorded as failed."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Variables by which libraries are told their number of threads."""


class ProgramFailed(RuntimeError):
    """A program that has no loss: it failed, was ended, or printed no number."""


class Program:
    """The loss that a program computes.

    Args:
        command: program and arguments, in which `{name}` stands for a parameter and `{here}` for the folder of the
            sweep file; a program that is a file there is that file.
        loss: where the loss is, as `read_number` wants it; the last number of stdout by default.
        outputs: where other numbers are, by name.
        templates: files beside the sweep file that are copied with `@name@` replaced by the parameter.
        parameters: file, .json or .toml, that all parameters are written to.
        environment: variables of the program's environment, with `{name}` as in the command.
        copy: files or folders beside the sweep file to copy.
        link: files or folders beside the sweep file to link to.
        threads: number of threads that the libraries of the program are told to use.
        arrays: files that arrays are written to, by name of the parameter: .npy, .txt or .csv.
        shell: True to have a shell run the words of the command, joined by spaces; parameters are quoted.
    """

    block = 1

    def __init__(
        self,
        command: Sequence[str],
        loss: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
        templates: Sequence[str] = (),
        parameters: str | None = None,
        environment: Mapping[str, str] | None = None,
        copy: Sequence[str] = (),
        link: Sequence[str] = (),
        threads: int = 1,
        arrays: Mapping[str, str] | None = None,
        shell: bool = False,
    ) -> None:
        self.command, self.loss, self.outputs = list(command), dict(loss or {}), dict(outputs or {})
        self.templates, self.parameters, self.environment = list(templates), parameters, dict(environment or {})
        self.copy, self.link, self.threads = list(copy), list(link), threads
        self.arrays, self.shell, self.timeout_seconds = dict(arrays or {}), shell, 0.0
        self._here, self.folders, self._children = Path(), Folders(Path()), Children()

    def at(self, here: Path, folders: Folders, timeout_seconds: float | None) -> Self:
        """Return the program of a sweep file.

        Args:
            here: folder of the sweep file.
            folders: keeps the folders of some runs; others are deleted.
            timeout_seconds: seconds after which a program is ended, and counts as failed; None for never.
        """
        found = duplicate(self)
        found._here, found._children = here, Children()
        found.folders, found.timeout_seconds = folders, timeout_seconds or 0.0
        return found

    @property
    def takes_seed(self) -> bool:
        """True if the command, the environment or a template names a seed."""
        return self.names(SEED)

    def names(self, name: str) -> bool:
        """Return whether the command, the environment or a template names a parameter."""
        words = [*self.command, *self.environment.values()]
        templates = [(self._here / file).read_bytes().decode(errors="replace") for file in self.templates]
        named = [*map(names_in_word, words), *map(names_in_template, templates)]
        return any(name in found for found in named)

    def close(self) -> None:
        """End the program that runs, if any."""
        self._children.close()

    def digest(self) -> str:
        """Return a hash of the files that are named: program, templates, copies and links (not of folders)."""
        hashed = hashlib.blake2b(digest_size=16)
        for name in [*beside(self.command), *self.templates, *self.copy, *self.link]:
            path = self._here / name
            if path.is_file():
                hashed.update(path.name.encode() + b"\0" + path.read_bytes())
        return hashed.hexdigest()

    def __call__(self, **values: Any) -> Any:
        """Run the program with these parameters; return its loss, with other numbers beside it if there are any.

        Raises ProgramFailed, with the end of what it has printed, if it has none.
        """
        for _ in range(WATCHERS):
            with suppress(Unwatched):
                return self._once(values)
        raise ProgramFailed(f"{WATCHERS} processes that watched the program were killed, each while it ran")

    def _once(self, values: Mapping[str, Any]) -> Any:
        folder = Path(tempfile.mkdtemp(prefix="optitrip-"))
        try:
            self._children.keep_track(folder)
            self._prepare(folder, values)
            ended = self._run(folder, values)
            loss, outputs = self._result(folder, ended)
            self.folders.finished(folder, values, loss)
            return {"loss": loss, **outputs} if outputs else loss
        except (ProgramFailed, ValueError, OSError) as error:
            kept = self.folders.failed(folder, values)
            raise ProgramFailed(told(str(error), folder if kept is None else kept, kept)) from None
        finally:
            remove(str(folder))

    def _prepare(self, folder: Path, values: Mapping[str, Any]) -> None:
        for name in self.copy:
            source = self._here / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / source.name)
        for name in self.link:
            (folder / Path(name).name).symlink_to((self._here / name).resolve())
        for name in self.templates:
            # As bytes: decks are in any encoding, and their ends of lines stay as they are.
            text, made = (self._here / name).read_bytes().decode(errors="surrogateescape"), folder / Path(name).name
            made.write_bytes(filled_template(text, values).encode(errors="surrogateescape"))
            shutil.copymode(self._here / name, made)
        if self.parameters is not None:
            (folder / self.parameters).write_bytes(as_file(values, Path(self.parameters).suffix).encode())
        for name, file in self.arrays.items():
            if name in values:
                write_array(np.asarray(values[name]), folder / file)

    def _run(self, folder: Path, values: Mapping[str, Any]) -> Ended:
        known = {**values, "here": str(self._here)}
        first, *others = [filled_word(word, known, quote=self.shell) for word in with_names(self.command, known)]
        there = {name: text for name, text in self.environment.items() if with_names([text], known)}
        own = {name: filled_word(text, known) for name, text in there.items()}
        threads = dict.fromkeys(THREADS, str(self.threads))
        output = folder / STDOUT, folder / STDERR
        command = ["/bin/sh", "-c", " ".join([first, *others])] if self.shell else [self._program(first), *others]
        return self._children.run(command, folder, {**threads, **own}, output, self.timeout_seconds or None)

    def _program(self, name: str) -> str:
        """Return the file beside the sweep file, if that is what a relative name names, or else the name."""
        path = self._here / name
        return str(path.resolve()) if path.is_file() else name

    def _result(self, folder: Path, ended: Ended) -> tuple[float, dict[str, float]]:
        if ended.error:
            raise ProgramFailed(f"the program cannot be started: {ended.error}")
        if ended.timed_out:
            raise ProgramFailed(
                f"the program took longer than timeout_seconds = {self.timeout_seconds:g}, and was ended"
            )
        if ended.status:
            how = f"with status {ended.status}" if ended.status > 0 else f"by signal {signal_name(-ended.status)}"
            raise ProgramFailed(f"the program ended {how}")
        outputs = {name: read_number(where, folder) for name, where in self.outputs.items()}
        return read_number(self.loss, folder), outputs


def told(reason: str, folder: Path, kept: Path | None) -> str:
    """Return why a program has no loss, with the end of what it has printed, and where its folder is."""
    lines = [reason]
    for name in (STDERR, STDOUT):
        if len(lines) == 1 and (tail := end_of(folder / name)):
            lines.append(f"{name} ends with:\n{tail}")
    return "\n".join([*lines, *([f"its folder is {kept}"] if kept else [])])


def end_of(path: Path) -> str:
    """Return the end of a file with what a program has printed."""
    if path.is_file():  # a pipe could be waited for
        with suppress(OSError):
            return path.read_text("utf-8", "replace").strip()[-TAIL:]
    return ""


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
