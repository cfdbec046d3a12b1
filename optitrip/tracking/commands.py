"""The commands that repeat or resume a sweep, as a shell reads them."""

import os
import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from optitrip.config.overrides import parsed
from optitrip.config.sweep import Sweep
from optitrip.store import STATE_ROOT
from optitrip.store.state_dir import SWEEP_FILE
from optitrip.tracking.git import Checkout

COMMIT_SHOWN = 10


class Command(NamedTuple):
    """A command and where it works."""

    word: str
    """Its purpose: again or resume."""
    line: str
    """Empty if there is none."""
    where: str


def word(text: str) -> str:
    """Return text as one word of a shell, on one line and in ASCII where it must be escaped."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = (
        letter
        if letter.isprintable() and letter not in "\\'"
        else "".join(f"\\x{byte:02x}" for byte in bytes_of(letter))
        for letter in text
    )
    return f"$'{''.join(escaped)}'"


def bytes_of(text: str) -> bytes:
    """Return text as the system encodes it: bytes that are no text were escaped as lone surrogates."""
    lone = {letter: "surrogateescape" if "\udc80" <= letter <= "\udcff" else "surrogatepass" for letter in text}
    return b"".join(letter.encode(errors=lone[letter]) for letter in text)


def path_word(path: str) -> str:
    return word(f"./{path}" if path.startswith("-") else path)


def sweep_command(file: str, sweep: Sweep) -> str:
    """Return the command that runs a file with the overrides of a sweep."""
    return " ".join(["optitrip sweep", path_word(file), *(f"--set {word(option)}" for option in sweep.overrides)])


def file_of(sweep: Sweep) -> Path | None:
    """Return the sweep's own file, also if it was read from a copy in a state directory; None if there is none."""
    names = [] if sweep.lines.path is None else [sweep.lines.path.name, f"{sweep.name}.toml"]
    for name in names:
        with suppress(OSError, ValueError):
            if (sweep.folder / name).read_text(encoding="utf-8-sig") == sweep.text:
                return sweep.folder / name
    return None


def source(sweep: Sweep, checkout: Checkout | None) -> str:
    """Return what the sweep was made from: its file, relative to the repository, with its overrides."""
    if sweep.lines.path is None:
        return f"{sweep.objective.reference} (from Python)"
    file = file_of(sweep) or Path(SWEEP_FILE)
    name = os.path.relpath(file, checkout.root) if checkout and checkout.tracked else file.name
    plain = replace(sweep, overrides=tuple(map(without_quotes, sweep.overrides)))
    return sweep_command(name, plain).removeprefix("optitrip sweep ")


def without_quotes(option: str) -> str:
    """Return an override without the quotes of its value if it means the same: MLflow's page garbles them."""
    given = parsed(option)
    plain = f"{option.rstrip().removesuffix(given.text)}{given.value}"
    return plain if isinstance(given.value, str) and parsed(plain)[:2] == given[:2] else option


def repeat(sweep: Sweep, checkout: Checkout | None, folder: Path) -> Command:
    """Return the command that makes the same answer again in a clone of the repository, if there is one, or else from
    the files of the run. `folder` is where the sweep was run."""
    if sweep.lines.path is None:
        made = f"the same call in Python, of {sweep.objective.reference} with what {SWEEP_FILE} tells, repeats it"
        return Command("again", "", made)
    file = file_of(sweep)
    if checkout is None or file is None or not checkout.tracked:
        reason = "the sweep file is in no commit" if checkout else "there is no git repository"
        return Command("again", f"optitrip sweep {SWEEP_FILE}", f"with {SWEEP_FILE} from the artifacts; {reason}")
    root = checkout.root
    place = folder if folder.is_relative_to(root) else root
    enter = f"cd {path_word(os.path.relpath(place, root))} && " if place != root else ""
    first, start = "", sweep.spec.start(sweep.method)
    if start is not None and start.best_of and (other := sweep.folder / start.best_of).suffix == ".toml":
        first = f"optitrip sweep {path_word(os.path.relpath(other, place))} && "
    run = sweep_command(os.path.relpath(file, place), sweep)
    where = "in a clone of the repository"
    if checkout.dirty:
        where += "; there were changes beside this commit, so it may give another answer"
    return Command("again", f"git checkout {checkout.commit[:COMMIT_SHOWN]} && {enter}{first}{run}", where)


def resume(sweep: Sweep, state: Path | None, folder: Path) -> Command:
    """Return the command that goes on with what is stored; `state` is the state directory."""
    if state is None:
        return Command("resume", "", "nothing is stored, so it cannot be resumed")
    if sweep.lines.path is None:
        return Command("resume", "", f"the same call in Python resumes it, with what is stored in {state}")
    file = os.path.relpath(file_of(sweep) or state / SWEEP_FILE, folder)
    return Command("resume", sweep_command(file, sweep) + state_option(state, folder), f"in {folder}")


def replay(sweep: Sweep, index: int, state: Path, folder: Path) -> str:
    """Return the command that evaluates an item again."""
    return f"optitrip replay {sweep.label} {index}{state_option(state, folder)}"


def state_option(state: Path, folder: Path) -> str:
    """Return the option for the folder of state directories, if it is not the usual one."""
    root = state.parent
    return "" if root == folder / STATE_ROOT else f" --state-dir {path_word(os.path.relpath(root, folder))}"
