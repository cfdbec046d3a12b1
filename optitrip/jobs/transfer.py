"""Brings result files through the log of a small job: Ray has no way to read a file of a cluster.

`python -m optitrip.jobs.transfer ROOT SWEEP` prints the files of a finished sweep between two lines; `received` reads
them from the log.
"""

import base64
import binascii
import io
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from optitrip.errors import InputError, OptitripError, Stopped
from optitrip.jobs.package import zip_bytes
from optitrip.journal.facts import StoredResult
from optitrip.runtime import files
from optitrip.runtime.files import digest, open_regular
from optitrip.store.lookup import find_state_directories
from optitrip.store.state_dir import RESULT, SWEEP_FILE, peek_fact

BEGIN, END, REFUSED = "optitrip-files ", "optitrip-files-end", "optitrip-refused "
"""Beginnings of the lines that say what follows."""
LARGEST = 64 * 2**20
"""Maximum number of bytes that are sent; the head holds them in memory several times."""
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names that files and folders may have; they lead nowhere else."""


@dataclass(frozen=True)
class Received:
    """Files of a sweep, checked."""

    label: str
    """Name of the state directory."""
    files: Mapping[str, bytes]
    notes: tuple[str, ...] = field(default=())
    """Messages about files that were not sent."""


def main(words: list[str]) -> int:
    """Print the files of a sweep, or why there are none."""
    root, sweep = Path(words[0]).absolute(), words[1]
    try:
        lines = sent(root, sweep)
    except (OptitripError, OSError) as error:
        lines = [REFUSED + json.dumps({"message": str(error), "later": isinstance(error, Stopped)})]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def sent(root: Path, sweep: str) -> list[str]:
    """Return the lines that hold the files of a finished sweep; raise InputError if there is none, and Stopped if
    the sweep is not finished."""
    for folder in find_state_directories(sweep, root):
        stored = peek_fact(folder, StoredResult)
        if stored is None:
            raise Stopped(f"{folder} has no result yet; submit the sweep again: it resumes")
        wanted = {RESULT: digest(files.json_bytes(stored.outcome)), **stored.files}
        found, notes, room = dict[str, bytes](), list[str](), LARGEST
        for name in sorted(wanted, key=lambda name: size_of(folder / name)):
            known, size = wanted[name], size_of(folder / name)
            if known is None or not FILE_NAME.fullmatch(name):  # a picture that could not be drawn
                continue
            if size > room:
                notes.append(f"{name} has {size / 2**20:,.0f} MiB and is not sent; copy {folder / name} yourself")
            elif not files.has_digest(folder / name, known):
                notes.append(f"{name} is missing, or not as its journal says; submit the sweep again: it is made anew")
            else:
                found[name], room = contents(folder / name), room - size
        if size_of(folder / SWEEP_FILE) <= room:
            found[SWEEP_FILE] = contents(folder / SWEEP_FILE)
        header = {"label": folder.name, "digests": {name: digest(data) for name, data in found.items()}, "notes": notes}
        return [BEGIN + json.dumps(header), base64.encodebytes(zip_bytes(found)).decode().rstrip("\n"), END]
    raise InputError(f"nothing is stored for {sweep!r:.80} in {root}")


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def contents(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def received(log: str) -> Received:
    """Return the files in a log; raise InputError if there are none, and Stopped if there may be some later."""
    lines = log.splitlines()
    for line in lines:
        if line.startswith(REFUSED):
            told = json.loads(line.removeprefix(REFUSED))
            raise (Stopped if told["later"] else InputError)(str(told["message"]))
    first = next((number for number, line in enumerate(lines) if line.startswith(BEGIN)), None)
    if first is None or END not in lines[first:]:
        last = lines[-1] if lines else "it printed nothing"
        raise InputError(f"the job that reads the files failed: {last:.300}")
    try:
        header = json.loads(lines[first].removeprefix(BEGIN))
        label, digests, notes = str(header["label"]), dict(header["digests"]), tuple(map(str, header["notes"]))
        packed = base64.b64decode("".join(lines[first + 1 : lines.index(END, first)]), validate=True)
        with ZipFile(io.BytesIO(packed)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise InputError(f"the files of {label:.80} are larger than {LARGEST // 2**20} MiB")
            found = {name: archive.read(name) for name in archive.namelist()}
    except (ValueError, LookupError, TypeError, BadZipFile, binascii.Error, NotImplementedError) as error:
        raise Stopped(f"the files came damaged: {error}; fetch them again") from None
    for name in (label, *found):
        if not FILE_NAME.fullmatch(name):
            raise InputError(f"a file is called {name!r:.80}, which is none of optitrip's names; nothing is written")
    if {name: digest(data) for name, data in found.items()} != digests:
        raise Stopped("the files came damaged: their digests differ from those that were sent; fetch them again")
    return Received(label, found, notes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
